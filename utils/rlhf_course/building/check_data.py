"""The data of the self-checks: what right answers and visible mistakes do on the visible cases, without their code."""

import importlib
import json
from pathlib import Path
from typing import Any

from rlhf_course.building.bank import bank_file, read_bank, sentence_of
from rlhf_course.course import Exercise
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import use_code


def build_data(root: Path, exercise: Exercise) -> dict[str, Any]:
    """What an exercise's check wants, and how the known mistakes differ from it.

    Args:
        root: the repository.

    Raises:
        CourseError: a mistake is right on every visible case, two mistakes cannot be told apart, or a variant is rejected.
    """
    check = importlib.import_module(f"rlhf_course.checks.{exercise.part}.{exercise.module}").CHECK
    use_code(root / "solutions")
    reference = getattr(importlib.import_module(exercise.part), exercise.name)
    bank = read_bank(bank_file(root, exercise))
    wanted = _wanted(check, {"the reference": reference, **bank.right})
    mistakes = {
        name: {"description": sentence_of(exercise, name, answer), "observed": _observations(check, answer)}
        for name, answer in bank.visible.items()
    }
    _refuse_twins(exercise, check, wanted, mistakes)
    return {"wanted": wanted, "mistakes": mistakes}


def _observations(check: Any, answer: Any) -> dict[str, Any]:
    return {case: check.observe(answer, case)[0] for case in check.cases}


def _wanted(check: Any, answers: dict[str, Any]) -> dict[str, list[Any]]:
    """For each case the different observations of right answers, the reference's first."""
    wanted: dict[str, list[Any]] = {case: [] for case in check.cases}
    for answer in answers.values():
        for case, seen in _observations(check, answer).items():
            if not any(check.equal(seen, one) for one in wanted[case]):
                wanted[case].append(seen)
    return wanted


def _refuse_twins(exercise: Exercise, check: Any, wanted: dict[str, list[Any]], mistakes: dict[str, Any]) -> None:
    names = list(mistakes)
    for position, name in enumerate(names):
        observed = mistakes[name]["observed"]
        if all(any(check.equal(observed[case], one) for one in wanted[case]) for case in check.cases):
            raise CourseError(
                f"mistake {name} of {exercise.name} is right on every visible case: add a case that shows it"
            )
        for other in names[:position]:
            if check.equal(observed, mistakes[other]["observed"]):
                raise CourseError(f"mistakes {name} and {other} of {exercise.name} do the same on every visible case")


def as_text(data: dict[str, Any]) -> str:
    """The data as its file holds it: one observation a line."""
    wanted = [f"  {json.dumps(case)}: {json.dumps(one)}" for case, one in data["wanted"].items()]
    mistakes = []
    for name, mistake in data["mistakes"].items():
        observed = [f"    {json.dumps(case)}: {json.dumps(one)}" for case, one in mistake["observed"].items()]
        description = json.dumps(mistake["description"])
        mistakes.append(
            f'  {json.dumps(name)}: {{"description": {description}, "observed": {{\n' + ",\n".join(observed) + "\n  }}"
        )
    return '{"wanted": {\n' + ",\n".join(wanted) + '\n}, "mistakes": {\n' + ",\n".join(mistakes) + "\n}}\n"


def same_data(one: str, other: str) -> bool:
    """Whether two files of data hold the same, up to the rounding of another machine."""
    from rlhf_course.checks.core import equal_within_tolerance

    return equal_within_tolerance(json.loads(one), json.loads(other), 1e-4, 1e-5)
