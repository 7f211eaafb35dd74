"""The judge gives the example submissions the marks that they deserve, exercise by exercise."""

import html

import pytest
from rich.console import Console
from submission_files import read_path
from typer.testing import CliRunner

from rlhf_course.cli import app
from rlhf_course.course import DEFAULT_PART
from rlhf_course.grading import commands
from rlhf_course.grading.commands import examples
from rlhf_course.grading.reports.pages import learner_page
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY, SOLUTIONS

FULL = DEFAULT_PART.points
FINISHED = commands.EXAMPLES / "finished"


def statuses(result) -> dict[str, str]:
    return {name: exercise.status for name, exercise in result.exercises.items()}


@pytest.fixture(scope="module")
def finished(judge):
    return judge.grade(read_path(FINISHED))


def test_the_finished_example_gets_full_marks_though_it_prints(finished):
    assert "print(" in (FINISHED / "part1_rlhf/reward_fn_char_count.py").read_text()
    assert finished.score == finished.max_score == FULL and set(statuses(finished).values()) == {"passed"}


def test_no_answer_of_the_examples_is_a_copy_of_the_solutions():
    for path in commands.EXAMPLES.rglob("part1_rlhf/*.py"):
        if path.name != "__init__.py":
            assert path.read_text() != (SOLUTIONS / "part1_rlhf" / path.name).read_text()


def test_the_half_finished_example_gets_marks_for_what_is_there(judge):
    result = judge.grade(read_path(commands.EXAMPLES / "half_finished"))
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
    return judge.grade(read_path(commands.EXAMPLES / "typical_mistakes"))


def test_a_learners_page_holds_no_line_of_the_hidden_tests_or_the_solutions(mistaken):
    page = html.unescape(learner_page(mistaken, "namespaces"))
    secret = [*(REPOSITORY / "tests/hidden").rglob("test_*.py"), *(SOLUTIONS / "part1_rlhf").glob("*.py")]
    lines = {line.strip() for path in secret for line in path.read_text().splitlines() if len(line.strip()) > 20}
    assert len(lines) > 500 and not [line for line in lines if line in page]
    assert "Traceback" not in page and str(REPOSITORY) not in page


def test_the_typical_mistakes_are_named(mistaken):
    assert "passed" not in statuses(mistaken).values() and mistaken.score < FULL / 2
    named = {name: exercise.mistake for name, exercise in mistaken.exercises.items() if exercise.mistake}
    assert "in place" in named["normalize_reward"] and "every token" in named["compute_advantages"]
    assert "reference || policy" in named["calc_kl_penalty"] and "maximize=True" in named["get_optimizer"]


@pytest.mark.parametrize(
    "text", ["raise SystemExit", "def compute_advantages(values, rewards, prefix_len):\n    return values\n", "x = ("]
)
def test_a_mistake_in_one_exercise_costs_points_of_that_exercise_alone(judge, finished, text):
    files = {**read_path(FINISHED).files, "part1_rlhf/compute_advantages.py": text}
    result = judge.grade(Submission("ada", files))
    for name, exercise in result.exercises.items():
        if name == "compute_advantages":
            assert exercise.score == 0 and exercise.status in ("failed", "error")
        else:
            assert exercise == finished.exercises[name]


NOISE = """import sys, warnings, logging
warnings.warn('old'); logging.warning('hm'); print('out'); print('err', file=sys.stderr)
"""


def test_what_a_learner_prints_and_warns_costs_no_points(judge, finished):
    files = {name: text.replace('"""\n', f'"""\n{NOISE}', 1) for name, text in read_path(FINISHED).files.items()}
    assert all(NOISE in text for text in files.values())
    assert judge.grade(Submission("ada", files)).exercises == finished.exercises


@pytest.mark.slow
def test_the_examples_are_graded_and_printed(judge, capsys):
    results = commands.grade_examples(Console(width=150))
    assert [result.name for result in results] == ["finished", "half_finished", "typical_mistakes"]
    assert f"{FULL} / {FULL}" in capsys.readouterr().out


def test_the_demo_grades_the_examples_and_then_trains(monkeypatch):
    done = []
    monkeypatch.setattr(
        examples,
        "grade_with_progress",
        lambda paths, config, cache, console: done.append([path.name for path in paths]) or [],
    )
    monkeypatch.setattr("rlhf_course.demo.run_demo", lambda out: done.append("trained"))
    result = CliRunner().invoke(app, ["demo"], catch_exceptions=False)
    assert result.exit_code == 0
    assert done == [["finished", "half_finished", "typical_mistakes"], "trained"]


def test_where_no_isolation_is_available_the_examples_are_graded_without_it_and_a_message_says_so(monkeypatch, capsys):
    def refuse(level):
        raise IsolationUnavailable(level, "this is no Linux")

    monkeypatch.setattr(examples, "require_isolation", refuse)
    configs = []
    monkeypatch.setattr(
        examples, "grade_with_progress", lambda paths, config, cache, console: configs.append(config) or []
    )
    commands.grade_examples(Console(width=150))
    assert "graded without isolation" in capsys.readouterr().out.replace("\n", " ")
    assert [config.isolation for config in configs] == ["unsafe"]


def test_a_copy_of_the_course_without_examples_shows_none(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "EXAMPLES", tmp_path / "none")
    assert commands.grade_examples(Console()) == []
