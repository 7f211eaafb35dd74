"""Write the gradebook's marks for Canvas and Moodle, by `nbgrader export --exporter …`.

The marks include those given by hand and late penalties.
"""

from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import ExportPlugin

from rlhf_course.errors import CourseError
from rlhf_course.releasing.marks import Mark, canvas_csv, moodle_csv


class _Exporter(ExportPlugin):
    """Write the marks of one assignment. Learners who handed in nothing have no mark and are left out."""

    default = ""

    def export(self, gradebook: Gradebook) -> None:
        """Write the table to the file that `--to` names."""
        names = [str(name) for name in self.assignment] or [assignment.name for assignment in gradebook.assignments]
        if len(names) != 1:
            raise CourseError(f"name one assignment with --assignment; there are {', '.join(names) or 'none'}")
        marks = [mark for student in gradebook.students if (mark := _mark(gradebook, names[0], student.id)) is not None]
        if self.student:
            marks = [mark for mark in marks if mark.learner in map(str, self.student)]
        to = Path(self.to or self.default)
        to.write_text(self.table(marks, names[0]), encoding="utf-8")
        self.log.info("Exported the marks of %d learners to %s", len(marks), to)

    def table(self, marks: list[Mark], assignment: str) -> str:
        """Return the marks in the platform's format."""
        raise NotImplementedError


class CanvasExporter(_Exporter):
    """Write marks for Canvas."""

    default = "canvas.csv"

    def table(self, marks: list[Mark], assignment: str) -> str:
        """See `canvas_csv`."""
        return canvas_csv(marks, assignment).text


class MoodleExporter(_Exporter):
    """Write marks for Moodle."""

    default = "moodle.csv"

    def table(self, marks: list[Mark], assignment: str) -> str:
        """See `moodle_csv`."""
        return moodle_csv(marks).text


def _mark(gradebook: Gradebook, assignment: str, student: str) -> Mark | None:
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        return None
    return Mark(student, max(0.0, submission.score - submission.late_submission_penalty), submission.max_score)
