"""Errors whose message is meant for the person at the keyboard."""


class CourseError(ValueError):
    """Something the user can put right; the message says what was wrong and what to do."""
