"""Let `nbgrader zip_collect` read the downloads of learning platforms: a zip or a folder for each learner."""

from pathlib import Path

from nbgrader.plugins.zipcollect import ExtractorPlugin, FileNameCollectorPlugin

from rlhf_course.course import DEFAULT_PART, PARTS_BY_NAME
from rlhf_course.grading.submissions.archives import UnreadableSubmission, read_source
from rlhf_course.grading.submissions.parse_submission import list_submissions

_EXTRACTED = "extracted"


class SafeExtractor(ExtractorPlugin):
    """Unpack each learner's archive or folder; one that is damaged or too large is logged and skipped."""

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Write the notebooks and Python files of each submission to a folder with the learner's name."""
        for submission in list_submissions([Path(archive_path)], each=True):
            try:
                source = read_source(submission.path)
            except UnreadableSubmission as error:
                self.log.error("%s: the submission %s", submission.name, error)
                continue
            for warning in source.warnings:
                self.log.warning("%s: %s", submission.name, warning)
            for path, content in source.files.items():
                target = Path(extracted_path) / _folder_name(submission.name) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)


class CourseCollector(FileNameCollectorPlugin):
    """Collect notebooks and the files of the parts' folders; of several files with the same target, the first is kept.

    The name of the zip or folder is the learner's name, unless `named_regexp` finds a `student_id` in it.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._seen: set[tuple[str, str]] = set()

    def collect(self, submitted_file: str) -> dict[str, str] | None:
        """Return the learner and the target of an extracted file; None if the file is not collected."""
        parts = Path(submitted_file).parts
        below = parts[len(parts) - parts[::-1].index(_EXTRACTED) :]
        learner, path = below[0], Path(*below[1:])
        if self.named_regexp:
            match = self._match(learner)
            learner = match["student_id"] if match else learner
        target = _target(path, self._part())
        if target is None or (learner, target) in self._seen:
            self.log.warning("%s: %s is left out", learner, path)
            return None
        self._seen.add((learner, target))
        return {"student_id": learner, "file_id": target}

    def _part(self) -> str:
        """Return the part that the assignment is named after, or the first part."""
        assignment = getattr(getattr(self.parent, "coursedir", None), "assignment_id", "")
        return PARTS_BY_NAME.get(assignment, DEFAULT_PART).name


def _target(path: Path, part: str) -> str | None:
    """Return the path of a submitted file below the assignment's folder, without its suffix; None if it has none.

    Args:
        path: The path of the file in the submission.
        part: The part to which Python files outside of any part's folder belong.
    """
    if path.suffix == ".ipynb":
        return path.stem
    folders = path.parts[:-1]
    if packages := [index for index, folder in enumerate(folders) if folder in PARTS_BY_NAME]:
        return str(Path(*path.parts[packages[-1] :]).with_suffix(""))
    return str(Path(part, path.stem)) if path.suffix == ".py" else None


def _folder_name(learner: str) -> str:
    """Return a learner's name as the name of one folder."""
    return learner.replace("/", "-").replace("\\", "-").replace("+", "-").lstrip(".") or "nameless"
