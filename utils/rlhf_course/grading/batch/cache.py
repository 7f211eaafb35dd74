"""Results kept by content: what was judged once, by the same judge and under the same limits, is not judged again."""

import dataclasses
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rlhf_course.course import PARTS
from rlhf_course.errors import CourseError
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import HIDDEN_TESTS, SOLUTIONS
from rlhf_course.paths import PACKAGE as PACKAGE_FOLDER

HIDDEN = HIDDEN_TESTS
_COURSE = PACKAGE_FOLDER
_JUDGING = (
    HIDDEN,
    *(SOLUTIONS / part.name for part in PARTS),
    _COURSE / "grading",
    _COURSE / "checks",
    _COURSE / "rl",
    _COURSE / "course.py",
)


@cache
def grading_version() -> str:
    """A fingerprint of all that decides a mark beside the answers and the limits: hidden suite, reference, judge, libraries."""
    digest = hashlib.sha256()
    for path in _files():
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    digest.update(
        repr(
            [platform.python_version_tuple()[:2], *map(version, ("torch", "transformer-lens", "transformers"))]
        ).encode()
    )
    return digest.hexdigest()


def _files() -> Iterator[Path]:
    for place in _JUDGING:
        found = [place] if place.is_file() else sorted(place.rglob("*"))
        yield from (path for path in found if path.suffix in (".py", ".json") and path.is_file())


def default_folder() -> Path:
    """Where results are kept when nobody names a folder."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("rlhf-course")) / "grades"


class ResultCache:
    """A folder of results, each named after what it came from; several runs may use it at once.

    A result of its own learner's name and warnings is made from it: two learners with the same answers share what is kept.
    """

    def __init__(self, folder: Path, isolation: str, limits: Any) -> None:
        """Use a folder, made where it is missing.

        Args:
            isolation, limits: what the submissions are judged under; `limits` is a dataclass.

        Raises:
            CourseError: it cannot be made.
        """
        self.folder = folder.expanduser()
        self._under = [grading_version(), isolation, dataclasses.asdict(limits)]
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CourseError(
                f"no results can be kept in {folder} ({error.strerror}): name another folder by --cache, or use --no-cache"
            ) from error

    def find(self, submission: Submission) -> SubmissionResult | None:
        """The result of the same answers; None where there is none, or it is damaged."""
        try:
            kept = SubmissionResult.model_validate_json(self._path(submission).read_bytes())
        except (OSError, ValueError):
            return None
        return kept.model_copy(update={"name": submission.name, "warnings": [*submission.warnings, *kept.warnings]})

    def keep(self, submission: Submission, result: SubmissionResult) -> None:
        """Keep a result, whole or not at all.

        Raises:
            CourseError: it cannot be written.
        """
        warnings = result.warnings[len(submission.warnings) :]
        text = result.model_copy(update={"name": "", "warnings": warnings}).model_dump_json()
        path = self._path(submission)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(part, path)
        except OSError as error:
            raise CourseError(
                f"the result of {submission.name} cannot be kept in {self.folder}: {error.strerror}"
            ) from error

    def _path(self, submission: Submission) -> Path:
        content = json.dumps([self._under, submission.parts, sorted(submission.files.items())])
        digest = hashlib.sha256(content.encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:]}.json"
