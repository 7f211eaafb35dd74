"""Errors whose message is meant for the person at the keyboard."""


class CourseError(ValueError):
    """Something the user can put right; the message says what was wrong and what to do."""


def missing_extra(feature: str, extra: str) -> CourseError:
    """The error for a feature whose packages are not installed, since they are an extra of this package."""
    return CourseError(f"{feature} needs packages that are not installed: pip install 'rlhf-course[{extra}]'")
