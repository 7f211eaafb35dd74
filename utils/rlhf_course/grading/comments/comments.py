"""Read the comments of an instructor, and find whom each one is for.

The comments are in a TOML file beside the results, so that they are there again after another grading:

    [[comment]]
    learner = "ada"                 # to one learner; with `exercise` beside that exercise
    text = "You asked for an extension: it is granted."

    [[comment]]
    exercise = "calc_kl_penalty"    # to a group of answers, named as on the page of the exercise
    group = "3fa2c1-1204"
    text = "Look at which axis the sum runs over."

    [[comment]]                     # to all
    text = "Well done."
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_course.grading.comments.groups import Group, group_answers
from rlhf_course.grading.results import GradeReport, SubmissionResult
from rlhf_course.toml_file import TomlFile, key_text, nearest, read_toml, shown

COMMENTS_FILE = "comments.toml"
_FIELDS = ("text", "learner", "exercise", "group")
_MAX_SHOWN = 60


@dataclass(frozen=True)
class Comment:
    """A comment of an instructor.

    Attributes:
        text: The text, which pages show as it is.
        learner: The name of the submission that it is for; empty for all, or for a group.
        exercise: The name of the exercise that it is about; empty for none.
        group: The key of the group of answers to the exercise that it is for; empty for all, or for a learner.
    """

    text: str
    learner: str = ""
    exercise: str = ""
    group: str = ""

    @property
    def heading(self) -> str:
        """Whom it is for, and how it begins."""
        to = f"group {self.group}" if self.group else self.learner or "all"
        about = f", {self.exercise}" if self.exercise else ""
        text = " ".join(self.text.split())
        return f"to {to}{about}: {text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + ' ...'}"


class ClassComments:
    """The comments of a class.

    Attributes:
        groups: The groups of each exercise; see `group_answers`.
    """

    def __init__(self, comments: Sequence[Comment], results: Sequence[SubmissionResult]) -> None:
        self.groups = group_answers(results)
        self._comments = comments
        self._learners = {result.name for result in results}
        self._reached = [(comment, self._recipients(comment)) for comment in comments]

    def to_learner(self, name: str) -> list[Comment]:
        """Return the comments that a learner gets: those to all, to a group of theirs, and to them."""
        return [comment for comment, recipients in self._reached if recipients is None or name in recipients]

    def to_group(self, group: Group) -> list[Comment]:
        """Return the comments to a group."""
        return [comment for comment in self._comments if comment.group and group in self._groups_of(comment)]

    @property
    def unmatched(self) -> list[str]:
        """Messages on the comments that reach nobody, since these results hold no such learner, exercise or group."""
        return [
            f"{comment.heading} ({reason})"
            for comment in self._comments
            if (reason := self.problem(comment)) is not None
        ]

    def _recipients(self, comment: Comment) -> frozenset[str] | None:
        """Return the names of the learners that a comment is for; None for all."""
        if comment.exercise and comment.exercise not in self.groups:
            return frozenset()
        if comment.group:
            return frozenset(name for group in self._groups_of(comment) for name in group.members)
        return frozenset([comment.learner]) if comment.learner else None

    def _groups_of(self, comment: Comment) -> list[Group]:
        return [group for group in self.groups.get(comment.exercise, []) if group.is_named(comment.group)]

    def problem(self, comment: Comment) -> str | None:
        """Return why a comment reaches nobody; None if it reaches somebody."""
        if comment.exercise and comment.exercise not in self.groups:
            return f"these results hold no exercise {comment.exercise}"
        if comment.learner and comment.learner not in self._learners:
            return f"these results hold no submission {comment.learner}"
        if comment.group and not self._groups_of(comment):
            return f"no answer to {comment.exercise} is in group {comment.group} now"
        return None


def feedback_lines(comments: Sequence[Comment]) -> list[str]:
    """Return comments as lines of feedback, each with the exercise that it is about."""
    return [f"{comment.exercise}: {comment.text}" if comment.exercise else comment.text for comment in comments]


def comments_beside(results: Path) -> list[Comment]:
    """Return the comments in the file `comments.toml` beside a file of results; none if there is no such file."""
    path = results.with_name(COMMENTS_FILE)
    return read_comments(path) if os.path.lexists(path) else []


class FolderComments:
    """The comments in a folder's `comments.toml`, for the classes of all results in this folder.

    Attributes:
        unmatched: Messages on the comments that reach nobody in any of the results.
    """

    def __init__(self, folder: Path) -> None:
        """Read the comments and the results.

        Raises:
            CourseError: The comments cannot be read.
        """
        comments = comments_beside(folder / COMMENTS_FILE)
        results = [report.submissions for path in sorted(folder.glob("*.json")) if (report := _report(path))]
        self._classes = [ClassComments(comments, submissions) for submissions in results if comments]
        self._plain = [comment for comment in comments if not comment.group]
        self.unmatched = []
        for comment in comments:
            problems = [in_class.problem(comment) for in_class in self._classes]
            if not problems and comment.group:
                problems = ["there are no results"]
            if problems and None not in problems:
                self.unmatched.append(f"{comment.heading} ({problems[0]})")

    def to_learner(self, name: str) -> list[Comment]:
        """Return the comments that a learner gets; those to groups only where some results hold the group."""
        of_groups = [comment for in_class in self._classes for comment in in_class.to_learner(name)]
        own = [comment for comment in self._plain if comment.learner in ("", name)]
        return list(dict.fromkeys([*own, *of_groups]))


def _report(path: Path) -> GradeReport | None:
    """Return the results in a file; None if it holds something else."""
    try:
        return GradeReport.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def read_comments(path: Path) -> list[Comment]:
    """Read a file of comments.

    Raises:
        CourseError: The file cannot be read, or an entry is no comment; the message has its line.
    """
    file = read_toml(path, lambda key: "a text in quotes" if key[0] == "comment" else "")
    for name in file.content:
        if name != "comment":
            raise file.error(
                (name,), f"is unknown here{nearest(name, ['comment'])}; write [[comment]] above each comment"
            )
    entries = file.content.get("comment", [])
    if not isinstance(entries, list):
        raise file.error(("comment",), "is a list of tables: write [[comment]], with two brackets, above each comment")
    return [_comment(file, number, entry) for number, entry in enumerate(entries, 1)]


def _comment(file: TomlFile, number: int, entry: Any) -> Comment:
    if not isinstance(entry, dict):
        raise file.element_error("comment", number, f"is a table with the fields {', '.join(_FIELDS)}")
    for field, value in entry.items():
        if field not in _FIELDS:
            close = nearest(field, _FIELDS)
            message = f"has an unknown field {key_text((field,))}{close}; the fields are {', '.join(_FIELDS)}"
            raise file.element_error("comment", number, message, field)
        if not isinstance(value, str):
            message = f"takes a text in quotes for {field}, got {shown(value)}"
            raise file.element_error("comment", number, message, field)
    comment = Comment(**{"text": "", **entry})
    if not comment.text.strip():
        raise file.element_error("comment", number, 'has no text: write text = "..."', "text")
    if comment.group and (comment.learner or not comment.exercise):
        raise file.element_error("comment", number, "is to a group: it names the exercise, and no learner", "group")
    return comment
