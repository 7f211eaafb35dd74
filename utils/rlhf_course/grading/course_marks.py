"""Turn a judge's result into a course's: its points and full marks, without what it leaves out, and late work."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from rlhf_course.class_list.matching import learner_ids
from rlhf_course.course import BY_NAME
from rlhf_course.course_file import CourseFile
from rlhf_course.grading.results import ExerciseResult, SubmissionResult
from rlhf_course.late_work import days_late, due_date, late_penalty


def apply_course_to_class(results: Sequence[SubmissionResult], course: CourseFile) -> list[SubmissionResult]:
    """Return the results of a class as a course counts them; see `apply_course`."""
    learners = learner_ids([result.name for result in results])
    return [apply_course(result, course, learner) for result, learner in zip(results, learners, strict=True)]


def apply_course(result: SubmissionResult, course: CourseFile, learner: str | None = None) -> SubmissionResult:
    """Return a result as a course counts it. The points of a result that was already counted are counted anew.

    The judge's points are those of the hidden tests. They become those of `course.toml`, or else of the list of
    exercises. Results are cached before this, so other points judge nothing anew.

    Args:
        result: The result of one submission, with the time of handing in, if it is known.
        course: The course's settings.
        learner: The learner's name in the extensions; by default the submission's name.
    """
    exercises = {
        name: exercise.scaled(course.points_of(BY_NAME[name])) if name in BY_NAME else exercise
        for name, exercise in result.exercises.items()
        if name not in course.left_out
    }
    score = max_score = penalty = 0.0
    sentences = []
    for part, graded in _by_part(exercises).items():
        full = course.full.get(part, sum(exercise.max_score for exercise in graded))
        part_score = min(full, sum(exercise.score for exercise in graded))
        lost, sentence = _penalty_of_part(course, part, result.handed_in, learner or result.name, part_score, full)
        score, max_score, penalty = score + part_score, max_score + full, penalty + lost
        sentences += [sentence] if sentence else []
    return result.model_copy(
        update={
            "exercises": exercises,
            "score": score,
            "max_score": max_score,
            "late_penalty": penalty,
            "late": "; ".join(sentences),
        }
    )


def without_time(results: Sequence[SubmissionResult], course: CourseFile) -> list[str]:
    """Return the names of the submissions that may be late, but whose time of handing in is not known."""
    return [result.name for result in results if result.handed_in is None and has_due_date(result, course)]


def not_graded(results: Sequence[SubmissionResult], course: CourseFile) -> list[str]:
    """Return the exercises that the course has in the parts that were graded, and the results do not have."""
    graded = {name for result in results for name in result.exercises}
    parts = {BY_NAME[name].part for name in graded if name in BY_NAME}
    names = [exercise.name for part in course.parts(sorted(parts)) for exercise in part.exercises] if parts else []
    return [name for name in names if name not in graded]


def unknown_extensions(results: Sequence[SubmissionResult], course: CourseFile) -> list[str]:
    """Return the learners who have an extension, but no submission in the class."""
    learners = set(learner_ids([result.name for result in results]))
    return [name for name in course.extensions if name.strip().lower() not in learners]


def has_due_date(result: SubmissionResult, course: CourseFile) -> bool:
    """Return whether the time of handing in of a submission decides about its mark."""
    return not course.late.costs_nothing and any(part in course.due for part in _by_part(result.exercises))


def _by_part(exercises: Mapping[str, ExerciseResult]) -> dict[str, list[ExerciseResult]]:
    parts: dict[str, list[ExerciseResult]] = {}
    for name, exercise in exercises.items():
        parts.setdefault(BY_NAME[name].part if name in BY_NAME else "", []).append(exercise)
    return parts


def _penalty_of_part(
    course: CourseFile, part: str, handed_in: datetime | None, learner: str, score: float, full: float
) -> tuple[float, str]:
    """Return what a part loses because it is late, and a sentence on it."""
    due = course.due.get(part)
    if due is None or handed_in is None:
        return 0.0, ""
    extension = course.extension(learner, part)
    penalty = late_penalty(course.late, due, handed_in, extension, score, full)
    return penalty, late_sentence(course.local(due_date(due, extension)), handed_in, penalty, score)


def late_sentence(due: datetime, handed_in: datetime, penalty: float, score: float) -> str:
    """Return a sentence on the penalty for late work; empty if there is no penalty.

    Args:
        due: The learner's due date.
        handed_in: The time of handing in.
        penalty: The penalty in points.
        score: The points without it.
    """
    if penalty <= 0:
        return ""
    days = days_late(due, handed_in)
    return (
        f"handed in {handed_in.astimezone(due.tzinfo):%Y-%m-%d %H:%M}, due {due:%Y-%m-%d %H:%M} ({due:%Z}), so {days} "
        f"day{'s' if days != 1 else ''} late: {penalty:g} of {score:g} points are subtracted"
    )
