"""Define the error whose message is meant for the user."""


class CourseError(ValueError):
    """An error that the user can correct; the message says what was wrong and what to do."""


def missing_extra(feature: str, extra: str) -> CourseError:
    """Return the error for a feature whose packages are not installed.

    Args:
        feature: The feature, which the message starts with.
        extra: The extra of this package that installs them.
    """
    return CourseError(f"{feature} needs packages that are not installed: pip install 'rlhf-course[{extra}]'")
