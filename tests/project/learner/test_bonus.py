"""The bonus notebook's own tests: they accept right answers and say what is wrong with others."""

import nbformat
import pytest
from bonus_answers import GAE, GRPO, WRONG
from learners import NOTEBOOKS

TASKS = {
    "gae": ("def test_gae", "gae_passed"),
    "group_advantages": ("def test_group", "groups_passed"),
    "k3_estimate": ("def test_group", "k3_passed"),
}


def attempted(task: str, answer: str | None, capsys) -> tuple[bool, str]:
    """Whether the notebook's test passed an answer (None: the notebook's own empty one), and what it printed of it."""
    cells = [
        cell.source
        for cell in nbformat.read(NOTEBOOKS / "10_bonus.ipynb", as_version=4).cells
        if cell.cell_type == "code"
    ]
    test, verdict = TASKS[task]
    number = next(number for number, cell in enumerate(cells) if test in cell)
    names: dict = {}
    for cell in (cells[0], answer or cells[number - 1]):
        exec(cell, names)
    capsys.readouterr()
    exec(cells[number], names)
    return names[verdict], capsys.readouterr().out


@pytest.mark.parametrize("task", TASKS)
def test_a_right_answer_passes(solved_workspace, capsys, task):
    passed, shown = attempted(task, GAE if task == "gae" else GRPO, capsys)
    assert passed and "wrong" not in shown


@pytest.mark.parametrize(("task", "answer"), [(task, answer) for task in TASKS for answer in WRONG[task]])
def test_a_wrong_answer_is_told_what_is_wrong(solved_workspace, capsys, task, answer):
    passed, shown = attempted(task, answer, capsys)
    assert not passed and "wrong: " in shown


@pytest.mark.parametrize("task", TASKS)
def test_an_empty_answer_is_not_attempted(workspace, capsys, task):
    passed, shown = attempted(task, None, capsys)
    assert not passed and "not attempted" in shown
