"""The bonus notebook's own tests: they accept right answers and say what is wrong with others."""

import nbformat
import pytest
from bonus_answers import WRONG
from learners import NOTEBOOKS

from rlhf_course.course import DEFAULT_PART, OPTIONAL
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import stub_of

TASKS = {
    "gae": ("def test_gae", "gae_passed"),
    "group_advantages": ("def test_group", "groups_passed"),
    "k3_estimate": ("def test_group", "k3_passed"),
}


def attempted(task: str, answer: str | None, capsys) -> tuple[bool, str]:
    """Whether the notebook's test passed an answer (None: the notebook's own empty one), and what it printed of it."""
    cells = [
        cell.source
        for cell in nbformat.read(NOTEBOOKS / "14_bonus.ipynb", as_version=4).cells
        if cell.cell_type == "code"
    ]
    test, verdict = TASKS[task]
    number = next(number for number, cell in enumerate(cells) if test in cell)
    names: dict = {}
    for cell in (cells[0], answer or "\n".join(stub_of(OPTIONAL[name]) for name in TASKS)):
        exec(cell, names)
    capsys.readouterr()
    exec(cells[number], names)
    return names[verdict], capsys.readouterr().out


@pytest.mark.parametrize("task", TASKS)
def test_the_courses_answer_passes(solved_workspace, capsys, task):
    answers = "\n".join((SOLUTIONS / OPTIONAL[name].path).read_text() for name in TASKS)
    passed, shown = attempted(task, answers, capsys)
    assert passed and "wrong" not in shown


def test_a_task_passes_without_a_word_on_exercises_that_its_test_does_not_run(workspace, capsys):
    answers = "\n".join((SOLUTIONS / OPTIONAL[name].path).read_text() for name in TASKS)
    assert attempted("gae", answers, capsys) == (True, "passed\n")


@pytest.mark.parametrize(("task", "answer"), [(task, answer) for task in TASKS for answer in WRONG[task]])
def test_a_wrong_answer_is_told_what_is_wrong(solved_workspace, capsys, task, answer):
    passed, shown = attempted(task, answer, capsys)
    assert not passed and "wrong: " in shown


@pytest.mark.parametrize("task", TASKS)
def test_an_empty_answer_is_not_attempted(workspace, capsys, task):
    passed, shown = attempted(task, None, capsys)
    assert not passed and "not attempted" in shown


def test_what_is_written_for_an_optional_task_outlives_the_kernel(workspace, start_kernel):
    first = start_kernel()
    text = "def k3_estimate(logprobs, ref_logprobs):\n    return logprobs - ref_logprobs"
    assert "saved to part1_rlhf/k3_estimate.py" in first.exercise("k3_estimate", text).output
    first.end()
    second = start_kernel()
    stub = stub_of(OPTIONAL["k3_estimate"])
    assert "holds work" in second.exercise("k3_estimate", stub).output
    assert second.value("k3_estimate(3, 1)") == "2"
    assert second.value("__import__('part1_rlhf').k3_estimate(3, 1)") == "2"
    assert second.run("load('k3_estimate')").next_cell == f"%%exercise k3_estimate\n{text}"


@pytest.mark.parametrize("call", ["check", "hint"])
def test_an_optional_task_has_its_test_in_the_notebook(workspace, capsys, call):
    import rlhf_course

    getattr(rlhf_course, call)("gae")
    assert "gae is an optional task: the test in 14_bonus.ipynb checks it" in capsys.readouterr().out


def test_the_courses_answer_to_an_optional_task_is_shown_at_once(workspace, capsys):
    from rlhf_course import solution

    solution("gae")
    assert "deltas" in capsys.readouterr().out


def test_optional_tasks_give_no_points_and_no_warning():
    from rlhf_course.grading.submissions.parse_submission import SubmissionPath, parse_submission

    submission = parse_submission(SubmissionPath("a", NOTEBOOKS), [DEFAULT_PART])
    assert not [warning for warning in submission.warnings if any(name in warning for name in OPTIONAL)]
