"""A course in nbgrader, made once, and a judge that finds what a test tells it to."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rlhf_course.exercises import EXERCISES
from rlhf_course.grading.results import ExerciseResult, SubmissionResult, TestResult
from rlhf_course.nbgrader_course.judging import Judgement
from rlhf_course.nbgrader_course.new_course import ASSIGNMENT, new_course

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


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with three of its notebooks, generated; tests take a copy. The whole course is for the test of the semester."""
    from nbgrader.apps import GenerateAssignmentApp

    course = tmp_path_factory.mktemp("generated") / "course"
    new_course(course)
    for path in (course / "source" / ASSIGNMENT).glob("*.ipynb"):
        if path.stem not in NOTEBOOKS:
            path.unlink()
    run_nbgrader(GenerateAssignmentApp, course, ASSIGNMENT)
    return course


@pytest.fixture
def course(generated: Path, tmp_path: Path) -> Path:
    """A course of the test's own, with the assignment generated and nothing handed in."""
    return shutil.copytree(generated, tmp_path / "course")


@pytest.fixture
def hand_in(course: Path) -> Callable[[str], Path]:
    """Puts the release into a learner's submission, to be worked on by the test."""

    def submitted(learner: str) -> Path:
        return shutil.copytree(course / "release" / ASSIGNMENT, course / "submitted" / learner / ASSIGNMENT)

    return submitted


def found(share: float = 1.0, warnings: tuple[str, ...] = (), message: str = "came 3, wanted 4") -> SubmissionResult:
    """A judge's result in which every exercise has the same share of its points."""
    exercises = {}
    for exercise in EXERCISES:
        tests = [
            TestResult(name="what is right", points=exercise.points * share, status="passed"),
            TestResult(name="what is not", points=exercise.points * (1 - share), status="failed", message=message),
        ]
        status = "passed" if share == 1 else "failed"
        exercises[exercise.name] = ExerciseResult(
            score=exercise.points * share, max_score=exercise.points, status=status, tests=tests[: 1 if share == 1 else 2]
        )
    score = sum(one.score for one in exercises.values())
    return SubmissionResult(name="", score=score, max_score=86, seconds=1, warnings=list(warnings), exercises=exercises)


@pytest.fixture
def judge_finds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a judge's findings, by learner, in the place of the judge; `asked` lists whom it was asked about."""

    def find(**findings: SubmissionResult | str) -> None:
        def judge_folders(folders, settings, log):
            names = {key: folder.parts[-2] for key, folder in folders.items()}
            find.asked.append(sorted(names.values()))
            given = {key: findings.get(name, "nobody said") for key, name in names.items()}
            return {key: Judgement(None, one) if isinstance(one, str) else Judgement(one) for key, one in given.items()}

        monkeypatch.setattr("rlhf_course.nbgrader_course.autograde.judge_folders", judge_folders)

    find.asked = []
    return find


@pytest.fixture
def autograde(course: Path) -> Iterator[Callable[..., None]]:
    """Runs `nbgrader autograde` on the course, with the arguments given."""
    from nbgrader.apps import AutogradeApp

    yield lambda *arguments: run_nbgrader(AutogradeApp, course, ASSIGNMENT, *arguments)
