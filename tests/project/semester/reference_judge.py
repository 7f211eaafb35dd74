"""A judge for tests of what surrounds the real one: an answer gets full points if it is the reference's text.

A course whose `nbgrader_config.py` ends with `SETTINGS` has this judge in place of the real one in nbgrader's commands.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rlhf_course.nbgrader_course.autograde
from rlhf_course.course import Exercise, Part
from rlhf_course.grading.results import ExerciseResult, SubmissionResult, TestResult
from rlhf_course.grading.submissions.parse_submission import SubmissionPath
from rlhf_course.grading.submissions.reader import read_submission
from rlhf_course.nbgrader_course.judging import Judgement
from rlhf_course.paths import REPOSITORY

SETTINGS = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
import reference_judge
reference_judge.install()
"""


def install() -> None:
    """Replace the real judge in this process."""
    rlhf_course.nbgrader_course.autograde.judge_folders = judge_folders


def judge_folders(folders: Mapping[str, Path], settings: Any, log: Any, parts: Sequence[Part]) -> dict[str, Judgement]:
    """Judge submissions; see the module."""
    return {key: judge(folder, parts) for key, folder in folders.items()}


def judge(folder: Path, parts: Sequence[Part]) -> Judgement:
    """Judge the submission in a folder `LEARNER/ASSIGNMENT`."""
    submission = read_submission(SubmissionPath(folder.parts[-2], folder), parts)
    exercises = {
        exercise.name: _result(exercise, submission.files.get(exercise.path))
        for part in parts
        for exercise in part.exercises
    }
    score, max_score = (sum(getattr(result, name) for result in exercises.values()) for name in ("score", "max_score"))
    result = SubmissionResult(
        name=submission.name, score=score, max_score=max_score, seconds=1, warnings=[], exercises=exercises
    )
    return Judgement(result, answers=submission.files)


def _result(exercise: Exercise, text: str | None) -> ExerciseResult:
    is_right = text == (REPOSITORY / "solutions" / exercise.path).read_text()
    status = "passed" if is_right else "missing" if text is None else "failed"
    test = TestResult(name="it is right", points=exercise.points, status=status)
    score = exercise.points if is_right else 0
    return ExerciseResult(score=score, max_score=exercise.points, status=status, tests=[test])
