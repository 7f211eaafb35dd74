"""Recognise the names that browsers and file managers give to copies of an answer's file."""

import re

from rlhf_course.course import EXERCISES

_FILES = {exercise.file.lower(): exercise.file for exercise in EXERCISES}
_COPY = re.compile(
    r"(?:copy(?: \((?P<before>\d+)\))? of |copy_of_)?(?P<stem>\w+?)"
    r"(?:[ _]?\((?P<download>\d+)\)|-(?P<dash>\d+)|[ _-]{1,3}copy(?: ?\(?(?P<copy>\d+)\)?)?)?\.py",
    re.IGNORECASE,
)
_MAX_NAME_LENGTH = 120


def answered_file(name: str) -> str | None:
    """Return the file of the exercise that a file's name stands for; None if it stands for none.

    Args:
        name: The name, such as "get_logprobs.py", "get_logprobs (1).py", "Copy of get_logprobs.py" or
            "get_logprobs.PY".
    """
    match = _match(name)
    return _FILES.get(f"{match['stem']}.py".lower()) if match else None


def copy_number(name: str) -> int:
    """Return the number in the name of a copy, which grows with each copy; 0 if there is none."""
    match = _match(name)
    groups = ("before", "download", "dash", "copy")
    return max((int(match[group]) for group in groups if match[group]), default=0) if match else 0


def _match(name: str) -> re.Match[str] | None:
    return _COPY.fullmatch(name) if len(name) <= _MAX_NAME_LENGTH else None
