"""A course in nbgrader, made once, and a judge that finds what a test tells it to."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from classroom import NOTEBOOKS, run_nbgrader

from rlhf_course.grading.results import SubmissionResult
from rlhf_course.nbgrader_course.judging import Judgement
from rlhf_course.nbgrader_course.new_course import ASSIGNMENT, new_course


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
