"""Let `nbgrader zip_collect` read the downloads of learning platforms: a zip or a folder for each learner."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from nbgrader.plugins.zipcollect import ExtractorPlugin, FileNameCollectorPlugin
from nbgrader.utils import parse_utc

from rlhf_course.course import DEFAULT_PART, PARTS_BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.grading.handed_in import read_handed_in
from rlhf_course.grading.submissions.archives import UnreadableSubmission
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, list_submissions, printable
from rlhf_course.grading.submissions.reader import SubmissionReader
from rlhf_course.nbgrader_course.late import course_of

# The table of times of handing in, beside the folder `archive` of an assignment.
SUBMITTED = "submitted.csv"
# The file systems of Linux allow names of 255 bytes; nbgrader's names of files add to the learner's.
_MAX_NAME_BYTES = 180


class SafeExtractor(ExtractorPlugin):
    """Unpack each learner's archive or folder; what is damaged or too large, or cannot be written, is logged."""

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Write the notebooks and Python files of each submission to a folder of its own."""
        try:
            submissions = list_submissions([Path(archive_path)], each=True)
        except CourseError as error:
            self.log.error(str(error))
            return
        folders = folder_names([item.name for item in submissions])
        with SubmissionReader() as reader:
            for submission, folder in zip(submissions, folders, strict=True):
                if folder != submission.name:
                    self.log.warning("%s: the learner is called %s here", submission.name, folder)
                self._extract_one(submission, Path(extracted_path) / folder, reader)

    def _extract_one(self, submission: SubmissionPath, folder: Path, reader: SubmissionReader) -> None:
        try:
            source = reader.read_source(submission.path)
        except UnreadableSubmission as error:
            self.log.error("%s: the submission %s", submission.name, error)
            return
        for warning in source.warnings:
            self.log.warning("%s: %s", submission.name, warning)
        if not source.files:
            self.log.warning("%s: holds no notebook and no file of an exercise", submission.name)
        for path, content in source.files.items():
            try:
                _write_new(folder.joinpath(*map(printable, path.parts)), content)
            except OSError as error:
                self.log.warning("%s: %s is left out: %s", submission.name, path, error.strerror)


class CourseCollector(FileNameCollectorPlugin):
    """Collect notebooks and the files of the parts' folders; of several files with the same target, the first is kept.

    The name of the zip or folder is the learner's name, unless `named_regexp` finds a `student_id` in it. The time of
    handing in is the `timestamp` that it finds, or that of the table `submitted.csv` beside the folder `archive`.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._targets: dict[str, set[PurePosixPath]] = {}
        self._times: dict[str, datetime] | None = None

    def collect(self, submitted_file: str) -> dict[str, str] | None:
        """Return the learner and the target of an extracted file; None if the file is not collected."""
        extracted = self.parent._format_collect_path(self.parent.extracted_directory)
        folder, *below = Path(submitted_file).relative_to(extracted).parts
        learner, target = self._learner(folder), _target(Path(*below), self._part())
        if learner is None or target is None or not self._is_free(learner, target):
            self.log.warning("%s: %s is left out", learner or folder, Path(*below))
            return None
        self._targets.setdefault(learner, set()).add(target)
        time = self._time(folder)
        # nbgrader replaces what follows the last dot by the suffix of the submitted file.
        return {"student_id": learner, "file_id": str(target), **({} if time is None else {"timestamp": time})}

    def _time(self, folder: str) -> Any:
        """Return when a folder was handed in: what `named_regexp` finds as `timestamp`, or what `submitted.csv` says.

        The result is a text, or a time in UTC without a zone; None if the time is not known.
        """
        match = self._match(folder) if "?P<timestamp>" in self.named_regexp else None
        if match and match.get("timestamp"):
            return match["timestamp"]
        if self._times is None:
            extracted = Path(self.parent._format_collect_path(self.parent.extracted_directory))
            table = extracted.parent / SUBMITTED
            names = sorted(path.name for path in extracted.iterdir())
            timezone = course_of(self.parent).timezone
            self._times = read_handed_in(table, names, timezone) if table.is_file() else {}
        time = self._times.get(folder)
        return None if time is None else parse_utc(time)

    def _learner(self, folder: str) -> str | None:
        """Return the learner whose folder it is; None if `named_regexp` finds a name that is no name of a folder."""
        match = self._match(folder) if self.named_regexp else None
        learner = match.get("student_id") if match else folder
        is_name = isinstance(learner, str) and learner.replace("+", "-") == _safe_name(learner)
        return learner if is_name else None

    def _is_free(self, learner: str, target: PurePosixPath) -> bool:
        """Return whether a learner has no other file at a target, above it or below it."""
        return not any(
            target == other or target in other.parents or other in target.parents
            for other in self._targets.get(learner, ())
        )

    def _part(self) -> str:
        """Return the part that the assignment is named after, or the first part."""
        assignment = getattr(getattr(self.parent, "coursedir", None), "assignment_id", "")
        return PARTS_BY_NAME.get(assignment, DEFAULT_PART).name


def folder_names(names: Sequence[str]) -> list[str]:
    """Return a name of its own for the folder of each learner.

    A learner whose name can be a folder's keeps it. Other names are made safe and end with a hash, so that nobody gets
    the folder of somebody else.

    Args:
        names: The learners' names, which all differ.
    """
    folders = [_safe_name(name) for name in names]
    return [
        folder if folder == name else f"{folder}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        for folder, name in zip(folders, names, strict=True)
    ]


def _safe_name(name: str) -> str:
    """Return a name as that of one folder, of which `_marker` in `autograde.py` can make a file's name."""
    safe = re.sub(r'[/\\+<>&"`]', "-", printable(name)).lstrip(".").strip() or "nameless"
    return safe.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").strip()


def _write_new(path: Path, content: bytes) -> None:
    """Write a file, and the folders above it.

    Raises:
        OSError: There is a file at this path already, or this file system allows no such path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)


def _target(path: Path, part: str) -> PurePosixPath | None:
    """Return the path of a submitted file below the assignment's folder; None if it has none.

    Args:
        path: The path of the file in the submission.
        part: The part to which Python files outside of any part's folder belong.
    """
    if path.suffix == ".ipynb":
        return PurePosixPath(path.name)
    folders = path.parts[:-1]
    if packages := [index for index, folder in enumerate(folders) if folder in PARTS_BY_NAME]:
        return PurePosixPath(*path.parts[packages[-1] :])
    return PurePosixPath(part, path.name) if path.suffix == ".py" else None
