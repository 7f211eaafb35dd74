"""What the tests of nbgrader share: its commands in this process, and a judge's results as a test wants them."""

import os
from pathlib import Path

from rlhf_course.course import DEFAULT_PART
from rlhf_course.grading.results import ExerciseResult, SubmissionResult, TestResult

NOTEBOOKS = ("01_environment", "04_sampling_and_rewards", "07_optimizer")


def run_nbgrader(app: type, course: Path, *arguments: str) -> None:
    """Run an nbgrader command in this process."""
    before = Path.cwd()
    os.chdir(course)
    try:
        command = app()
        command.initialize([*arguments, "--log-level=WARN"])
        command.start()
    finally:
        os.chdir(before)
        command.reset()


def found(share: float = 1.0, warnings: tuple[str, ...] = (), message: str = "came 3, wanted 4") -> SubmissionResult:
    """A judge's result in which every exercise has the same share of its points."""
    exercises = {}
    for exercise in DEFAULT_PART.exercises:
        tests = [
            TestResult(name="what is right", points=exercise.points * share, status="passed"),
            TestResult(name="what is not", points=exercise.points * (1 - share), status="failed", message=message),
        ]
        status = "passed" if share == 1 else "failed"
        exercises[exercise.name] = ExerciseResult(
            score=exercise.points * share,
            max_score=exercise.points,
            status=status,
            tests=tests[: 1 if share == 1 else 2],
        )
    score = sum(result.score for result in exercises.values())
    max_score = DEFAULT_PART.points
    return SubmissionResult(
        name="", score=score, max_score=max_score, seconds=1, warnings=list(warnings), exercises=exercises
    )
