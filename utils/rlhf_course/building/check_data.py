"""Compute the data of the self-checks: the observations of right answers and visible mistakes on the visible cases.

Learners receive this data in place of the answers' code.
"""

import importlib
import json
from pathlib import Path
from typing import Any

from rlhf_course.bank import bank_file, description_of, read_bank
from rlhf_course.course import Exercise
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import use_code


def build_data(root: Path, exercise: Exercise) -> dict[str, Any]:
    """Compute the observations that an exercise's check expects, and those of each visible mistake.

    Args:
        root: The repository.
        exercise: An exercise whose answer, check and bank exist.

    Returns:
        `wanted`, the observations of right answers by case, and `mistakes`, the description and the observations of
        each visible mistake by name.

    Raises:
        CourseError: A right answer raises an exception where the reference raises none; a mistake has no docstring or
            is right on every case; or two mistakes have the same observations on every case.
    """
    check = importlib.import_module(f"rlhf_course.checks.{exercise.part}.{exercise.module}").CHECK
    use_code(root / "solutions")
    reference = getattr(importlib.import_module(exercise.part), exercise.name)
    bank = read_bank(bank_file(root, exercise))
    expected = _right_observations(check, {"the reference": reference, **bank.right})
    mistakes = {
        name: {"description": description_of(exercise, name, answer), "observed": _observations(check, answer)}
        for name, answer in bank.visible.items()
    }
    _require_distinct(exercise, check, expected, mistakes)
    return {"wanted": expected, "mistakes": mistakes}


def _observations(check: Any, answer: Any) -> dict[str, Any]:
    return {case: check.observe(answer, case)[0] for case in check.cases}


def _right_observations(check: Any, answers: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the distinct observations of right answers by case, the reference's first.

    Raises:
        CourseError: A right answer raises an exception where the reference raises none. Every wrong answer that raises
            one of the same type would pass that case.
    """
    distinct: dict[str, list[Any]] = {case: [] for case in check.cases}
    for name, answer in answers.items():
        for case, observation in _observations(check, answer).items():
            if "raised" in observation and distinct[case] and "raised" not in distinct[case][0]:
                raise CourseError(
                    f"right answer {name} of {check.exercise} raises {observation['raised']} on the visible case "
                    f"{case!r}, where the reference raises nothing: change the case so that both can run on it"
                )
            if not any(check.equal(observation, known) for known in distinct[case]):
                distinct[case].append(observation)
    return distinct


def _require_distinct(exercise: Exercise, check: Any, expected: dict[str, list[Any]], mistakes: dict[str, Any]) -> None:
    """Raise a CourseError for a mistake whose observations are right, or are those of another mistake."""
    names = list(mistakes)
    for index, name in enumerate(names):
        observed = mistakes[name]["observed"]
        if all(any(check.equal(observed[case], right) for right in expected[case]) for case in check.cases):
            raise CourseError(
                f"mistake {name} of {exercise.name} is right on every visible case: add a case that shows it"
            )
        for other in names[:index]:
            if check.equal(observed, mistakes[other]["observed"]):
                raise CourseError(
                    f"mistakes {name} and {other} of {exercise.name} do the same on every visible case: "
                    "add a case that tells them apart, or delete one"
                )


def format_data(data: dict[str, Any]) -> str:
    """Return the data as JSON with one observation a line."""
    expected = [f"  {json.dumps(case)}: {json.dumps(observations)}" for case, observations in data["wanted"].items()]
    mistakes = []
    for name, mistake in data["mistakes"].items():
        observed = [
            f"    {json.dumps(case)}: {json.dumps(observation)}" for case, observation in mistake["observed"].items()
        ]
        description = json.dumps(mistake["description"])
        mistakes.append(
            f'  {json.dumps(name)}: {{"description": {description}, "observed": {{\n' + ",\n".join(observed) + "\n  }}"
        )
    return '{"wanted": {\n' + ",\n".join(expected) + '\n}, "mistakes": {\n' + ",\n".join(mistakes) + "\n}}\n"


def data_equal(first: str, second: str) -> bool:
    """Return whether the texts of two data files are equal up to differences in rounding between machines."""
    # Deferred: `checks.core` imports torch.
    from rlhf_course.checks.core import equal_within_tolerance

    return equal_within_tolerance(json.loads(first), json.loads(second), 1e-4, 1e-5)
