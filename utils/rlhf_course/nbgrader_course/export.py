"""Write the gradebook's marks for Canvas and Moodle, by `nbgrader export --exporter …`.

The marks include those given by hand and late penalties.
"""

from pathlib import Path

from nbgrader.api import Grade, Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.plugins import ExportPlugin
from traitlets import Unicode

from rlhf_course.course_file import CourseFile
from rlhf_course.errors import CourseError
from rlhf_course.files import write_text
from rlhf_course.nbgrader_course.late import course_of, full_marks, update_submission
from rlhf_course.releasing.marks import MarkTable, canvas_csv, moodle_csv
from rlhf_course.releasing.scale import Mark, parse_scale


class _Exporter(ExportPlugin):
    """Write the marks of one assignment. Learners who handed in nothing have no mark and are left out."""

    default = ""

    roster = Unicode("", help="Grades exported from Canvas, or Moodle's worksheet, to be filled in.").tag(config=True)
    key = Unicode("", help="The roster's column that marks are matched by; empty: the usual one.").tag(config=True)
    scale = Unicode("platform", help="What all points become: platform, none, or a number.").tag(config=True)

    def export(self, gradebook: Gradebook) -> None:
        """Write the table to the file that `--to` names."""
        names = [str(name) for name in self.assignment] or [assignment.name for assignment in gradebook.assignments]
        if len(names) != 1:
            raise CourseError(f"name one assignment with --assignment; there are {', '.join(names) or 'none'}")
        course = course_of(self.parent)
        students = [str(student.id) for student in gradebook.students]
        known = {name.lower() for name in students}
        for learner in (name for name in course.extensions if name.strip().lower() not in known):
            self.log.warning("%s has an extension in course.toml, and is not in the gradebook", learner)
        marks = [mark for name in students if (mark := _mark(gradebook, names[0], name, course)) is not None]
        if self.student:
            marks = [mark for mark in marks if mark.learner in map(str, self.student)]
        table = self.table(marks, names[0], Path(self.roster) if self.roster else None)
        problems = table.matching.problems if table.matching is not None else []
        for problem in (*problems, *table.left):
            self.log.warning("Not written: %s", problem)
        for cell in table.replaced:
            self.log.warning("Replaced: %s", cell)
        for learner in (mark.learner for mark in marks if mark.score is not None):
            for grade in _to_grade_by_hand(gradebook.find_submission(names[0], learner)):
                self.log.warning(
                    "%s: the %g points given by hand for %s count; the submission was graded again since: look at them",
                    learner,
                    grade.manual_score,
                    grade.name,
                )
        to = Path(self.to or self.default)
        write_text(to, table.text)
        matched = marks if table.matching is None else table.matching.submissions
        self.log.info("Exported the marks of %d learners to %s %s", len(matched) - len(table.left), to, table.note)

    def table(self, marks: list[Mark], assignment: str, roster: Path | None) -> MarkTable:
        """Return the marks in the platform's format."""
        raise NotImplementedError


class CanvasExporter(_Exporter):
    """Write marks for Canvas."""

    default = "canvas.csv"

    def table(self, marks: list[Mark], assignment: str, roster: Path | None) -> MarkTable:
        """See `canvas_csv`."""
        return canvas_csv(marks, assignment, roster, self.key or None, parse_scale(self.scale))


class MoodleExporter(_Exporter):
    """Write marks for Moodle."""

    default = "moodle.csv"

    def table(self, marks: list[Mark], assignment: str, roster: Path | None) -> MarkTable:
        """See `moodle_csv`."""
        return moodle_csv(marks, roster, self.key or None, scale=parse_scale(self.scale))


def _mark(gradebook: Gradebook, assignment: str, student: str, course: CourseFile) -> Mark | None:
    late = update_submission(gradebook, assignment, student, course)
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        return None
    full = full_marks(submission, course)
    points = max(0.0, min(full, submission.score) - submission.late_submission_penalty)
    # After each autograding nbgrader flags scores that were given by hand; they count until a person changes them.
    is_ungraded = any(grade.manual_score is None for grade in _to_grade_by_hand(submission))
    score = None if is_ungraded else points
    return Mark(student, score, full, "; ".join(filter(None, (late, _feedback(submission)))))


def _to_grade_by_hand(submission: SubmittedAssignment) -> list[Grade]:
    """Return the cells with points that a person has to look at, for the first time or again."""
    return [
        grade
        for notebook in submission.notebooks
        for grade in notebook.grades
        if grade.needs_manual_grade and grade.max_score
    ]


def _feedback(submission: SubmittedAssignment) -> str:
    """Return the cells that lost points, and the comments that a person wrote."""
    lines = []
    for notebook in submission.notebooks:
        lines += [
            f"{grade.name.removeprefix('check-')} {grade.score:g}/{grade.max_score:g}"
            for grade in notebook.grades
            if grade.score < grade.max_score
        ]
        lines += [comment.manual_comment for comment in notebook.comments if comment.manual_comment]
    return "; ".join(lines)
