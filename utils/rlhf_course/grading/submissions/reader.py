"""Read submissions in a process of its own, so that no file of a learner reaches beyond its own row."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from rlhf_course.course import DEFAULT_PART, PARTS_BY_NAME, Part, left_out_of
from rlhf_course.grading.submissions import archives
from rlhf_course.grading.submissions.archives import Source, UnreadableSubmission
from rlhf_course.grading.submissions.limited_process import (
    UNEXPECTED_FORM,
    LimitedProcess,
    ReadingFailed,
    ReadingLimits,
)
from rlhf_course.grading.submissions.parse_submission import (
    SubmissionPath,
    parse_submission,
    shortened_warnings,
    unreadable_submission,
)
from rlhf_course.grading.submissions.submission import Submission


class SubmissionReader:
    """Reads submissions one after the other in one process, which is replaced when it exceeds a limit.

    Use it as a context manager, which ends the process.
    """

    def __init__(self, limits: ReadingLimits | None = None) -> None:
        """Configure the reader; its process starts with the first submission.

        Args:
            limits: The limits of the reading of one submission; by default the default limits.
        """
        self._process = LimitedProcess(limits)

    def __enter__(self) -> "SubmissionReader":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.__exit__(kind, error, trace)

    def read(self, submission: SubmissionPath, parts: Sequence[Part] = (DEFAULT_PART,)) -> Submission:
        """Read one submission.

        Args:
            submission: The submission.
            parts: The parts that it will be graded on. They may lack exercises, which are then not graded.

        Returns:
            The submission; without files, and with a warning that says why, if it cannot be read.
        """
        names = [part.name for part in parts]
        try:
            fields = self._process.call(f"{__name__}:submission_as_json", str(submission.path.absolute()), names)
            return _without_left_out(_submission(submission.name, names, fields), parts)
        except ReadingFailed as error:
            return _without_left_out(unreadable_submission(submission, parts, str(error)), parts)

    def read_source(self, path: Path) -> Source:
        """Read the files of a submission that may hold answers.

        Args:
            path: A folder, an archive, a notebook or a Python file, or a link to one of them.

        Raises:
            UnreadableSubmission: The path is none of these, is damaged, is too large, or takes too long to read.
        """
        try:
            fields = self._process.call(f"{__name__}:source_as_json", str(path.absolute()))
            return _source(fields)
        except ReadingFailed as error:
            raise UnreadableSubmission(str(error)) from error


def _without_left_out(submission: Submission, parts: Sequence[Part]) -> Submission:
    """Return a submission that is not graded on the exercises that the given parts lack."""
    left_out = tuple(exercise.name for part in parts for exercise in left_out_of(part))
    unreadable = tuple(name for name in submission.unreadable if name not in left_out)
    return replace(submission, left_out=left_out, unreadable=unreadable)


def read_submission(submission: SubmissionPath, parts: Sequence[Part] = (DEFAULT_PART,)) -> Submission:
    """Read one submission in a process that ends afterwards; see `SubmissionReader.read`."""
    with SubmissionReader() as reader:
        return reader.read(submission, parts)


# In the process.


def submission_as_json(path: str, part_names: Sequence[str]) -> dict[str, Any]:
    """Return a submission without its name as plain data."""
    submission = parse_submission(SubmissionPath("", Path(path)), [PARTS_BY_NAME[name] for name in part_names])
    return {**asdict(submission), "files": dict(submission.files)}


def source_as_json(path: str) -> dict[str, Any]:
    """Return the files of a submission as plain data; with the reason if it cannot be read."""
    try:
        source = archives.read_source(Path(path))
    except UnreadableSubmission as error:
        return {"error": shortened_warnings([str(error)])[0]}
    return {
        "files": {str(name): base64.b64encode(content).decode() for name, content in source.files.items()},
        "warnings": shortened_warnings(source.warnings),
    }


# What came from the process is checked, since a learner's file may have taken it over.


def _submission(name: str, part_names: Sequence[str], fields: Any) -> Submission:
    """Return the submission that the process sent.

    Raises:
        ReadingFailed: It has another form than `submission_as_json` gives it.
    """
    if not isinstance(fields, dict):
        raise ReadingFailed(UNEXPECTED_FORM)
    exercises = {exercise.name for part in part_names for exercise in PARTS_BY_NAME[part].exercises}
    return Submission(
        name=name,
        files=_texts_by_path(fields.get("files")),
        warnings=_texts(fields.get("warnings")),
        parts=tuple(part_names),
        other_parts=tuple(part for part in _texts(fields.get("other_parts")) if part in PARTS_BY_NAME),
        unreadable=tuple(text for text in _texts(fields.get("unreadable")) if text in exercises),
    )


def _source(fields: Any) -> Source:
    if not isinstance(fields, dict):
        raise ReadingFailed(UNEXPECTED_FORM)
    if "error" in fields:
        raise UnreadableSubmission(str(fields["error"]))
    try:
        files = {
            PurePosixPath(path): base64.b64decode(content, validate=True)
            for path, content in _texts_by_path(fields.get("files")).items()
        }
    except ValueError as error:
        raise ReadingFailed(UNEXPECTED_FORM) from error
    return Source(files=files, warnings=list(_texts(fields.get("warnings"))))


def _texts_by_path(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ReadingFailed(UNEXPECTED_FORM)
    paths = _texts(list(value))
    if any(PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts for path in paths):
        raise ReadingFailed("holds a file that would lie outside of it")
    return dict(zip(paths, _texts(list(value.values())), strict=True))


def _texts(value: Any) -> tuple[str, ...]:
    """Return a list of texts without lone surrogates, which no file and no report can hold."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ReadingFailed(UNEXPECTED_FORM)
    return tuple(text.encode("utf-8", "replace").decode("utf-8") for text in value)
