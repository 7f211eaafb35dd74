"""Subtract the penalty of `course.toml` for late work in nbgrader, once an assignment."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import AssignLatePenalties, NbGraderPreprocessor
from nbgrader.utils import parse_utc

from rlhf_course.course_file import CourseFile, course_file_in
from rlhf_course.errors import CourseError
from rlhf_course.grading.course_marks import late_sentence
from rlhf_course.late_work import due_date, late_penalty


def course_of(converter: Any) -> CourseFile:
    """Return the settings of the course that an nbgrader command or converter works on."""
    coursedir = getattr(converter, "coursedir", None)
    return CourseFile() if coursedir is None else course_file_in(Path(coursedir.root))


@contextmanager
def readable(converter: Any) -> Iterator[None]:
    """Stop an nbgrader command with one line in its log where a file of the instructor has a wrong entry.

    Raises:
        NbGraderException: It has one. nbgrader ends the command, and shows no traceback.
    """
    try:
        yield
    except CourseError as error:
        converter.log.error(str(error))
        raise NbGraderException(str(error)) from error


def full_marks(submission: SubmittedAssignment, course: CourseFile) -> float:
    """Return the full marks of a submission: those of the course, or else all points."""
    return course.full.get(submission.name, submission.max_score)


def update_penalty(submission: SubmittedAssignment, course: CourseFile) -> str:
    """Write the penalty of a submission into the gradebook, if the course has a rule for late work.

    nbgrader subtracts a penalty from each notebook. The penalty of the assignment goes to its notebooks in their order,
    to each as much as its score allows, so that their sum is the assignment's.

    Args:
        submission: The submission, whose due date is that of `set_due_date`. The caller commits.
        course: The course's settings.

    Returns:
        A sentence on the penalty; empty if there is none.
    """
    if course.late.costs_nothing:
        return ""
    full, penalty, sentence = full_marks(submission, course), 0.0, ""
    score = min(full, submission.score)
    if submission.timestamp is not None and submission.duedate is not None:
        due, handed_in = _aware(submission.duedate), _aware(submission.timestamp)
        penalty = late_penalty(course.late, due, handed_in, None, score, full)
        zone = course.due[submission.name].tzinfo if submission.name in course.due else UTC
        sentence = late_sentence(course.local(due.astimezone(zone)), handed_in, penalty, score)
    # What is above full marks does not count anyway, so work that counts nothing loses all.
    rest = submission.score if penalty and penalty == score else penalty
    for notebook in sorted(submission.notebooks, key=lambda notebook: str(notebook.name)):
        share = min(rest, notebook.score)
        notebook.late_submission_penalty = share or None
        rest -= share
    return sentence


def set_due_date(submission: SubmittedAssignment, course: CourseFile) -> None:
    """Give the gradebook the due date of `course.toml`, and the learner's extension; without one they stay.

    Args:
        submission: The submission. The caller commits.
        course: The course's settings.
    """
    due, extension = (
        course.due.get(submission.name),
        course.extension(str(submission.student.id), str(submission.name)),
    )
    if due is not None:
        submission.assignment.duedate = parse_utc(due)
        submission.extension = None
    if extension is not None and submission.assignment.duedate is not None:
        due = _aware(submission.assignment.duedate)
        submission.extension = due_date(due, extension) - due


def update_submission(gradebook: Gradebook, assignment: str, student: str, course: CourseFile) -> str:
    """Bring due date and penalty of a submission up to date, since scores given by hand may have changed.

    Returns:
        A sentence on the penalty; empty if there is none or there is no submission.
    """
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        return ""
    set_due_date(submission, course)
    sentence = update_penalty(submission, course)
    gradebook.db.commit()
    return sentence


class CourseLatePenalty(LateSubmissionPlugin):
    """nbgrader's plugin, which is asked for a penalty of each notebook; see `update_penalty`."""

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        """Return the share of a notebook in the penalty of the assignment."""
        assigning: Any = self.parent
        submission = assigning.gradebook.find_submission(assigning.assignment_id, student_id)
        update_penalty(submission, course_of(assigning.parent.parent))
        shares = {notebook.name: notebook.late_submission_penalty for notebook in submission.notebooks}
        return shares[assigning.notebook_id]


class AssignCourseLatePenalties(AssignLatePenalties):
    """nbgrader's preprocessor, after it has got the due date of `course.toml`."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Assign the penalty of one notebook; see the class."""
        ids = resources["nbgrader"]
        with Gradebook(ids["db_url"]) as gradebook:
            set_due_date(gradebook.find_submission(ids["assignment"], ids["student"]), course_of(self.parent.parent))
            gradebook.db.commit()
        return super().preprocess(nb, resources)


class UpdateLatePenalty(NbGraderPreprocessor):
    """Bring a penalty up to date before a feedback page shows it."""

    # The converters to HTML set it for all preprocessors.
    display_data_priority: Any = None

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Update the penalty of the notebook's submission; see the class."""
        ids = resources["nbgrader"]
        with Gradebook(ids["db_url"]) as gradebook:
            update_submission(gradebook, ids["assignment"], ids["student"], course_of(self.parent.parent))
        return nb, resources


def _aware(time: datetime) -> datetime:
    """Return a time of the gradebook, which is in UTC and does not say so, with its zone."""
    return time.replace(tzinfo=UTC)
