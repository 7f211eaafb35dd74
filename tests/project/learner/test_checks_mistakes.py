"""Every known mistake is rejected and named; right answers in other words are accepted."""

import json
import re
from functools import cache

import pytest

from rlhf_course import use_code
from rlhf_course.bank import Bank, bank_file, read_bank
from rlhf_course.checks.core import known_mistakes
from rlhf_course.course import BY_NAME, EXERCISES, Exercise
from rlhf_course.notebook.checking import Result, run_checks
from rlhf_course.notebook.exercise_progress import PASSED, checks_of
from rlhf_course.paths import REPOSITORY, SOLUTIONS


@cache
def bank_of(exercise: Exercise) -> Bank:
    """The bank of an exercise, loaded once."""
    use_code(SOLUTIONS)
    return read_bank(bank_file(REPOSITORY, exercise))


def every(kind: str) -> list:
    """Parameters for the answers of one kind, of all exercises; the trainer's take long."""
    slow = {"RLHFTrainer": [pytest.mark.slow]}
    return [
        pytest.param(exercise.name, name, id=f"{exercise.name}-{name}", marks=slow.get(exercise.name, []))
        for exercise in EXERCISES
        for name in getattr(bank_of(exercise), kind)
    ]


def checked(kind: str, name: str, answer: str) -> Result:
    """The check's result for one answer of the bank."""
    use_code(SOLUTIONS)
    exercise = BY_NAME[name]
    return run_checks(exercise, getattr(bank_of(exercise), kind)[answer], lambda used: Result(used.name, PASSED))


@pytest.mark.parametrize(("exercise", "mistake"), every("visible"))
def test_a_known_mistake_is_rejected_and_named(exercise, mistake):
    result = checked("visible", exercise, mistake)
    assert result.status in ("wrong", "error")
    assert result.mistake == mistake
    assert known_mistakes(exercise)[mistake]["description"] in "\n".join(result.lines)
    assert len(result.lines) < 12


@pytest.mark.parametrize("answer", ["NoBeginning", "FixedNorm", "EntriesClipped"])
def test_no_mistake_is_named_for_another_one_that_looks_like_it_from_afar(answer):
    """Each was taken for a visible mistake once: by the type of its exception, or by gradients too small to tell."""
    assert checked("hidden", "RLHFTrainer", answer).mistake is None


@pytest.mark.parametrize(("exercise", "variant"), every("right"))
def test_a_right_answer_in_other_words_is_accepted(exercise, variant):
    result = checked("right", exercise, variant)
    assert result.status == "passed", result.lines


@pytest.mark.parametrize(("exercise", "variant"), every("right"))
def test_no_fact_is_found_about_a_right_answer(exercise, variant):
    use_code(SOLUTIONS)
    checked, answer = checks_of(BY_NAME[exercise]).CHECK, bank_of(BY_NAME[exercise]).right[variant]
    assert checked.arguments_without_effect(answer) == []
    assert {checked.explanation(answer, case) for case in checked.cases.values()} == {""}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_each_exercise_has_three_hints_and_data_of_every_visible_mistake(exercise):
    assert len(checks_of(exercise).HINTS) >= 3
    assert list(known_mistakes(exercise.name)) == list(bank_of(exercise).visible)


def code_lines(text: str) -> set[str]:
    """Lines of code that are long enough to give something away."""
    body = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)
    lines = {" ".join(line.split()) for line in body.splitlines()}
    # Signatures and imports are given; a single name in a list of imports is no answer either.
    given = ("#", "def ", "class ", "import ", "from ", "@")
    return {line for line in lines if len(line) > 24 and not line.startswith(given) and not re.fullmatch(r"\w+,", line)}


def solution_lines() -> set[str]:
    lines = set()
    for exercise in EXERCISES:
        text = (SOLUTIONS / exercise.path).read_text()
        for part in re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", text, flags=re.DOTALL):
            lines |= code_lines(part)
    return lines


def test_nothing_that_learners_receive_holds_code_of_an_answer_or_of_a_mistake():
    secret = solution_lines().union(
        *(code_lines(bank_file(REPOSITORY, exercise).read_text()) for exercise in EXERCISES)
    )
    shipped = [path for path in (REPOSITORY / "utils/rlhf_course/checks").rglob("*") if path.suffix in (".py", ".json")]
    shipped += [
        *(REPOSITORY / "utils/rlhf_course/notebook").rglob("*.py"),
        *(REPOSITORY / "notebooks").glob("part*/*.py"),
    ]
    shipped += (REPOSITORY / "notebooks").glob("*.ipynb")
    for path in shipped:
        text = path.read_text()
        if path.suffix == ".ipynb":
            text = "\n".join(
                "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"
            )
        elif path.suffix == ".json":
            text = "\n".join(strings_in(json.loads(text)))
        lines = {" ".join(line.split()) for line in text.splitlines()}
        assert not lines & secret, f"{path.relative_to(REPOSITORY)} holds {lines & secret}"


def strings_in(value) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in strings_in(item))]
    return [text for item in value for text in strings_in(item)] if isinstance(value, list) else []


def test_given_code_holds_no_solution_line_but_those_that_call_given_functions():
    given = {
        " ".join(line.split())
        for path in (REPOSITORY / "utils/rlhf_course/rl").glob("*.py")
        for line in path.read_text().splitlines()
    }
    for exercise in EXERCISES:
        if exercise.name == "RLHFTrainer":
            continue  # its calls of given functions are written alike in the given loop
        text = (SOLUTIONS / exercise.path).read_text()
        for part in re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", text, flags=re.DOTALL):
            ours = {line for line in code_lines(part) if "<|endoftext|>" not in line}
            assert not ours & given
