"""`nbgrader zip_collect` for what a learning platform lets one download: a zip or a folder for each learner."""

from pathlib import Path

from nbgrader.plugins.zipcollect import ExtractorPlugin, FileNameCollectorPlugin

from rlhf_course.grading.submissions.archives import UnreadableSubmission, read_source
from rlhf_course.grading.submissions.parse_submission import list_submissions
from rlhf_course.learner_package import PACKAGE

_EXTRACTED = "extracted"


class SafeExtractor(ExtractorPlugin):
    """Unpacks each learner's archive or folder; one that is damaged or too large is named, and stops no other."""

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Write what matters of each submission to a folder of the learner's name."""
        for handed_in in list_submissions([Path(archive_path)], each=True):
            try:
                source = read_source(handed_in.path)
            except UnreadableSubmission as error:
                self.log.error("%s: the submission %s", handed_in.name, error)
                continue
            for warning in source.warnings:
                self.log.warning("%s: %s", handed_in.name, warning)
            for path, content in source.files.items():
                to = Path(extracted_path) / _learner(handed_in.name) / path
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(content)


class CourseCollector(FileNameCollectorPlugin):
    """Takes notebooks and the files of the part's folder for a submission; of two that are called alike, the first.

    The name of the zip or folder is the learner's, unless `named_regexp` finds a `student_id` in it.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._seen: set[tuple[str, str]] = set()

    def collect(self, submitted_file: str) -> dict[str, str] | None:
        """Where one extracted file belongs; None where it belongs nowhere."""
        parts = Path(submitted_file).parts
        below = parts[len(parts) - parts[::-1].index(_EXTRACTED) :]
        learner, path = below[0], Path(*below[1:])
        if self.named_regexp:
            found = self._match(learner)
            learner = found["student_id"] if found else learner
        place = _place(path)
        if place is None or (learner, place) in self._seen:
            self.log.warning("%s: %s is left out", learner, path)
            return None
        self._seen.add((learner, place))
        return {"student_id": learner, "file_id": place}


def _place(path: Path) -> str | None:
    """Where a file of a submission belongs in an assignment's folder."""
    if path.suffix == ".ipynb":
        return path.stem
    folders = path.parts[:-1]
    if PACKAGE in folders:
        below = path.parts[len(folders) - folders[::-1].index(PACKAGE) :]
        return str(Path(PACKAGE, *below).with_suffix(""))
    return str(Path(PACKAGE, path.stem)) if path.suffix == ".py" else None


def _learner(name: str) -> str:
    """A learner's name that is one folder's name."""
    return name.replace("/", "-").replace("\\", "-").replace("+", "-").lstrip(".") or "nameless"
