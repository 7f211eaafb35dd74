"""Cache results by content: the same answers, under the same judge and limits, are graded only once."""

import dataclasses
import hashlib
import json
import platform
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

from rlhf_course.course import PARTS
from rlhf_course.errors import CourseError
from rlhf_course.files import write_text
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.secret import PUBLIC, Secret
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import HIDDEN_TESTS, PACKAGE, SOLUTIONS

_FINGERPRINTED = (
    HIDDEN_TESTS,
    *(SOLUTIONS / part.name for part in PARTS),
    PACKAGE / "grading",
    PACKAGE / "checks",
    PACKAGE / "rl",
    *(PACKAGE / f"{name}.py" for name in ("course", "exercises", "learner_package", "recording", "stubs")),
)
_LIBRARIES = ("torch", "transformer-lens", "transformers")


@cache
def grading_version() -> str:
    """Return a fingerprint of everything that decides a mark beside the answers and the limits.

    It covers the hidden suite, the reference, the judge, the given code, and the versions of Python and the libraries.
    """
    digest = hashlib.sha256()
    for path in _fingerprinted_files():
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    digest.update(repr([platform.python_version_tuple()[:2], *map(version, _LIBRARIES)]).encode())
    return digest.hexdigest()


def _fingerprinted_files() -> Iterator[Path]:
    for root in _FINGERPRINTED:
        paths = [root] if root.is_file() else sorted(root.rglob("*"))
        yield from (path for path in paths if path.suffix in (".py", ".json", ".npz") and path.is_file())


def default_cache_folder() -> Path:
    """Return the folder of results in the user's cache, which is used if no other folder is named."""
    import platformdirs  # Only this function needs it, and `--help` should be quick.

    return Path(platformdirs.user_cache_dir("rlhf-course")) / "grades"


class ResultCache:
    """A folder of results, each in a file named after a hash of what was graded; several processes may use it at once.

    A stored result contains neither a learner's name nor warnings about the reading of the submission, so that two
    learners with the same answers share it.
    """

    def __init__(self, folder: Path, isolation: str, limits: ResourceLimits, secret: Secret = PUBLIC) -> None:
        """Use a folder, which is created if it does not exist.

        Args:
            folder: The folder.
            isolation: The isolation level that the submissions are graded at.
            limits: The resource limits of each answer.
            secret: The course's secret.

        Raises:
            CourseError: The folder cannot be created.
        """
        self.folder = folder.expanduser()
        self._conditions = [grading_version(), isolation, dataclasses.asdict(limits), secret.fingerprint]
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CourseError(
                f"the folder {folder} for results cannot be created ({error.strerror}): "
                "name another folder by --cache, or use --no-cache"
            ) from error

    def get(self, submission: Submission) -> SubmissionResult | None:
        """Return the stored result of the same answers; None if there is none, or its file is damaged."""
        try:
            stored = SubmissionResult.model_validate_json(self._path(submission).read_bytes())
        except (OSError, ValueError):
            return None
        return stored.model_copy(update={"name": submission.name, "warnings": [*submission.warnings, *stored.warnings]})

    def put(self, submission: Submission, result: SubmissionResult) -> None:
        """Store a result atomically, readable only by the user who grades.

        Raises:
            CourseError: The file cannot be written.
        """
        warnings = result.warnings[len(submission.warnings) :]
        text = result.model_copy(update={"name": "", "warnings": warnings}).model_dump_json()
        path = self._path(submission)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_text(path, text, mode=0o600)
        except OSError as error:
            raise CourseError(
                f"the result of {submission.name} cannot be written to {self.folder}: {error.strerror}"
            ) from error

    def _path(self, submission: Submission) -> Path:
        graded = [submission.parts, sorted(submission.files.items()), sorted(submission.unreadable)]
        left_out = [sorted(submission.left_out)] if submission.left_out else []
        digest = hashlib.sha256(json.dumps([self._conditions, *graded, *left_out]).encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:]}.json"
