"""Say which submissions lose points because they are late, and where this is not known."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from rlhf_course.class_list.matching import marked_as_late
from rlhf_course.course_file import CourseFile
from rlhf_course.grading.course_marks import unknown_extensions, without_time
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.submissions.parse_submission import printable

_MAX_LISTED = 20


def with_time(result: SubmissionResult, times: Mapping[str, datetime]) -> SubmissionResult:
    """Return a result with its time of handing in; None where the time is not known."""
    return result.model_copy(update={"handed_in": times.get(result.name)})


def notes_on_late_work(results: Sequence[SubmissionResult], course: CourseFile) -> Iterator[str]:
    """Yield a line on the submissions that lose points, on those of unknown time, and on extensions of nobody."""
    if late := [f"{result.name} -{result.late_penalty:g}" for result in results if result.late_penalty]:
        yield f"handed in late, with the points that they lose: {_listed(late)}"
    if unknown := without_time(results, course):
        yield f"no penalty for late work, since the time of handing in is unknown: {_listed(unknown)}; see --submitted"
        if marked := marked_as_late(unknown):
            yield f"late says Canvas, but not since when: {_listed(marked)}"
    if strangers := unknown_extensions(results, course):
        yield f"extensions in course.toml of learners without a submission: {_listed(strangers)}"


def _listed(names: Sequence[str]) -> str:
    further = [f"and {len(names) - _MAX_LISTED} more"] if len(names) > _MAX_LISTED else []
    return ", ".join([*map(printable, names[:_MAX_LISTED]), *further])
