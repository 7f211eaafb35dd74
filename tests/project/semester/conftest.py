"""A course in nbgrader, made once, and a judge that finds what a test tells it to."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from classroom import NOTEBOOKS, run_nbgrader

from rlhf_course.course import DEFAULT_PART
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.submissions.parse_submission import SubmissionPath
from rlhf_course.grading.submissions.reader import read_submission
from rlhf_course.nbgrader_course.judging import Judgement
from rlhf_course.nbgrader_course.new_course import new_course


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with three of its notebooks, generated; tests take a copy. The semester test uses the whole course."""
    from nbgrader.apps import GenerateAssignmentApp

    course = tmp_path_factory.mktemp("generated") / "course"
    new_course(course)
    for path in (course / "source" / DEFAULT_PART.name).glob("*.ipynb"):
        if path.stem not in NOTEBOOKS:
            path.unlink()
    run_nbgrader(GenerateAssignmentApp, course, DEFAULT_PART.name)
    return course


@pytest.fixture
def course(generated: Path, tmp_path: Path) -> Path:
    """A course of the test's own, with the assignment generated and nothing handed in."""
    return shutil.copytree(generated, tmp_path / "course")


@pytest.fixture
def hand_in(course: Path) -> Callable[[str], Path]:
    """Puts the release into a learner's submission, to be worked on by the test."""

    def submitted(learner: str) -> Path:
        return shutil.copytree(
            course / "release" / DEFAULT_PART.name, course / "submitted" / learner / DEFAULT_PART.name
        )

    return submitted


@pytest.fixture
def judge_finds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces the judge by findings for each learner; `asked` lists the learners that were to be judged."""

    def find(**findings: SubmissionResult | str) -> None:
        def judge_folders(folders, settings, log, parts):
            names = {key: folder.parts[-2] for key, folder in folders.items()}
            find.asked.append(sorted(names.values()))
            find.parts = [part.name for part in parts]
            found = {key: findings.get(name, "no finding for this learner") for key, name in names.items()}
            return {
                key: Judgement(None, finding)
                if isinstance(finding, str)
                else Judgement(finding, answers=read_submission(SubmissionPath("", folders[key]), parts).files)
                for key, finding in found.items()
            }

        monkeypatch.setattr("rlhf_course.nbgrader_course.autograde.judge_folders", judge_folders)

    find.asked = []
    return find


@pytest.fixture
def autograde(course: Path) -> Iterator[Callable[..., None]]:
    """Runs `nbgrader autograde` on the course, with the arguments given."""
    from nbgrader.apps import AutogradeApp

    yield lambda *arguments: run_nbgrader(AutogradeApp, course, DEFAULT_PART.name, *arguments)
