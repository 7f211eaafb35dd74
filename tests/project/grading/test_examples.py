"""The example submissions, judged for good: what a learner hands in decides the marks, and each exercise stands for itself."""

import html

import pytest
from handed_in import read
from rich.console import Console
from typer.testing import CliRunner

from rlhf_course.cli import app
from rlhf_course.course import EXERCISES
from rlhf_course.grading import commands
from rlhf_course.grading.reports.pages import learner_page
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY, SOLUTIONS

FULL = sum(exercise.points for exercise in EXERCISES)
FINISHED = commands.EXAMPLES / "finished"


def statuses(result) -> dict[str, str]:
    return {name: one.status for name, one in result.exercises.items()}


@pytest.fixture(scope="module")
def finished(judge):
    return judge.grade(read(FINISHED))


def test_the_finished_example_gets_full_marks_though_it_prints(finished):
    assert "print(" in (FINISHED / "part1_rlhf/reward_fn_char_count.py").read_text()
    assert finished.score == finished.max_score == FULL and set(statuses(finished).values()) == {"passed"}


def test_no_answer_of_the_examples_is_a_copy_of_the_solutions():
    for path in commands.EXAMPLES.rglob("part1_rlhf/*.py"):
        if path.name != "__init__.py":
            assert path.read_text() != (SOLUTIONS / "part1_rlhf" / path.name).read_text()


def test_the_half_finished_example_gets_marks_for_what_is_there(judge):
    result = judge.grade(read(commands.EXAMPLES / "half_finished"))
    found = statuses(result)
    assert [name for name, status in found.items() if status == "missing"] == [
        "get_optimizer",
        "reward_fn_sentiment_imdb",
    ]
    assert [name for name, status in found.items() if status == "error"] == ["get_logprobs", "RLHFTrainer"]
    assert list(found.values()).count("passed") == 6, "two of them are in the notebook alone"
    assert 0 < result.exercises["RLHFTrainer"].score < 20, "one method of three is written"


@pytest.fixture(scope="module")
def mistaken(judge):
    return judge.grade(read(commands.EXAMPLES / "typical_mistakes"))


def test_a_learners_page_holds_no_line_of_the_hidden_tests_or_the_solutions(mistaken):
    page = html.unescape(learner_page(mistaken, "namespaces"))
    secret = [*(REPOSITORY / "tests/hidden").rglob("test_*.py"), *(SOLUTIONS / "part1_rlhf").glob("*.py")]
    lines = {line.strip() for path in secret for line in path.read_text().splitlines() if len(line.strip()) > 20}
    assert len(lines) > 500 and not [line for line in lines if line in page]
    assert "Traceback" not in page and str(REPOSITORY) not in page


def test_the_typical_mistakes_are_named(mistaken):
    assert "passed" not in statuses(mistaken).values() and mistaken.score < FULL / 3
    named = {name: one.mistake for name, one in mistaken.exercises.items() if one.mistake}
    assert "in place" in named["normalize_reward"] and "every token" in named["compute_advantages"]
    assert "reference || policy" in named["calc_kl_penalty"] and "maximize=True" in named["get_optimizer"]


@pytest.mark.parametrize(
    "text", ["raise SystemExit", "def compute_advantages(values, rewards, prefix_len):\n    return values\n", "x = ("]
)
def test_one_exercises_mistake_costs_that_exercise_alone(judge, finished, text):
    files = {**read(FINISHED).files, "part1_rlhf/compute_advantages.py": text}
    result = judge.grade(Submission("ada", files))
    for name, one in result.exercises.items():
        if name == "compute_advantages":
            assert one.score == 0 and one.status in ("failed", "error")
        else:
            assert one == finished.exercises[name]


NOISE = "import sys, warnings, logging\nwarnings.warn('old'); logging.warning('hm'); print('out'); print('err', file=sys.stderr)\n"


def test_what_a_learner_prints_and_warns_costs_no_mark(judge, finished):
    files = {name: text.replace('"""\n', f'"""\n{NOISE}', 1) for name, text in read(FINISHED).files.items()}
    assert all(NOISE in text for text in files.values())
    assert judge.grade(Submission("ada", files)).exercises == finished.exercises


@pytest.mark.slow
def test_the_examples_are_graded_for_show(judge, capsys):
    results = commands.grade_examples(Console(width=150))
    assert [result.name for result in results] == ["finished", "half_finished", "typical_mistakes"]
    assert f"{FULL} / {FULL}" in capsys.readouterr().out


def test_the_demo_grades_the_examples_and_then_trains(monkeypatch):
    done = []
    monkeypatch.setattr(
        commands, "judged", lambda handed_in, way, kept, console: done.append([one.name for one in handed_in]) or []
    )
    monkeypatch.setattr("rlhf_course.demo.run_demo", lambda out: done.append("trained"))
    result = CliRunner().invoke(app, ["demo"], catch_exceptions=False)
    assert result.exit_code == 0
    assert done == [["finished", "half_finished", "typical_mistakes"], "trained"]


def test_where_there_is_no_isolation_the_examples_are_graded_without_and_this_is_said(monkeypatch, capsys):
    def require(isolation):
        raise IsolationUnavailable(isolation, "this is no Linux")

    monkeypatch.setattr(commands, "_require", require)
    asked = []
    monkeypatch.setattr(commands, "judged", lambda handed_in, way, kept, console: asked.append(way) or [])
    commands.grade_examples(Console(width=150))
    assert "graded without isolation" in capsys.readouterr().out.replace("\n", " ")
    assert [way.isolation for way in asked] == ["unsafe"]


def test_a_copy_of_the_course_without_examples_shows_none(tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "EXAMPLES", tmp_path / "none")
    assert commands.grade_examples(Console()) == []
