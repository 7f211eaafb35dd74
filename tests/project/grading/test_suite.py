"""The hidden suite runs on any answers, as often as needed, and its messages hold no hidden value."""

import re
import shutil
import subprocess
import sys

import pytest
import torch

from rlhf_course.course import EXERCISES
from rlhf_course.errors import CourseError
from rlhf_course.grading.judge.compare import expect_form, expect_values
from rlhf_course.grading.judge.local_answers import reference_answers, trusted_answers
from rlhf_course.grading.judge.suite import ANOTHER_EXCEPTION, HIDDEN, UNUSABLE, collected, run_suite
from rlhf_course.grading.sandbox.answers import AnswerError, LocalAnswers

ROOT = HIDDEN.parents[1]


class FakeAnswers:
    """The same answer, or the same exception, for every exercise; it counts how often an answer is loaded."""

    def __init__(self, answer):
        self._answer = answer
        self.loads = 0

    def answer(self, exercise):
        """Return the answer, or raise the exception."""
        self.loads += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def results_of(answer, exercise="normalize_reward", **options):
    return run_suite(FakeAnswers(answer), [exercise], **options)[exercise]


def raising(error):
    def answer(*args, **kwargs):
        raise error

    return answer


def test_the_same_answers_have_the_same_results_each_time():
    wrong = LocalAnswers(
        {"normalize_reward": lambda reward, eps=1e-5: (reward - reward.mean()) / (reward.std() + 1e-5)}
    )
    first, second = (run_suite(wrong, ["normalize_reward"]) for _ in range(2))
    assert first == second
    assert {result.status for result in first["normalize_reward"]} == {"passed", "failed"}


def test_results_come_in_the_order_of_the_tests_with_sentences_for_names():
    results = results_of(reference_answers().answer("normalize_reward"))
    assert [result.name for result in results] == [
        "the mean becomes 0 and the deviation 1",
        "equal rewards become zeros",
        "eps is the one that was passed",
        "every circumstance that training meets is normalised alike",
        "the raw reward is left as it was and the result has its form",
    ]


@pytest.mark.parametrize("kind", ["error", "timeout", "missing"])
def test_an_answer_that_gives_no_result_says_why(kind):
    results = results_of(raising(AnswerError(kind, "ValueError, at line 12 of normalize_reward.py")))
    assert {(result.status, result.message) for result in results} == {
        (kind, "ValueError, at line 12 of normalize_reward.py")
    }


def test_an_answer_that_does_not_load_is_loaded_only_once():
    answers = FakeAnswers(AnswerError("error", "SyntaxError, at line 3 of normalize_reward.py"))
    results = run_suite(answers, ["normalize_reward"])["normalize_reward"]
    assert {result.status for result in results} == {"error"} and answers.loads == 1


def test_a_report_describes_one_exception_and_one_type_of_an_exercise():
    lines = iter(range(1, 100))

    def raises_at_another_line_each_time(*args, **kwargs):
        raise AnswerError("error", f"ValueError, at line {next(lines)} of normalize_reward.py")

    messages = [result.message for result in results_of(raises_at_another_line_each_time)]
    assert messages[0] == "ValueError, at line 1 of normalize_reward.py"
    assert set(messages[1:]) == {ANOTHER_EXCEPTION}

    types = iter([[], {}, "text", (), print, object()] * 10)
    messages = [result.message for result in results_of(lambda *args, **kwargs: next(types))]
    assert len({match for message in messages for match in re.findall(r"a \w+ came", message)}) == 1
    assert sum("something else came" in message for message in messages) >= len(messages) - 2


def test_an_error_of_grading_itself_is_passed_on_and_not_counted_against_the_answer():
    for broken in (CourseError("no sandbox can be had"), BrokenPipeError("gone"), KeyboardInterrupt()):
        with pytest.raises(type(broken)):
            results_of(raising(broken))


@pytest.mark.parametrize("exercise", ["HookedTransformerWithValueHead", "RLHFTrainer", "get_optimizer"])
def test_a_driver_that_returns_anything_at_all_earns_no_points_and_does_not_stop_the_suite(exercise):
    class DriverProxy:
        def __init__(self, value):
            self.value = value

        def __getattr__(self, name):
            return lambda **inputs: self.value

    for value in (
        None,
        [],
        {},
        7,
        "passed",
        {"head": [], "calls": [], "phases": [], "kind": ["AdamW"]},
        torch.zeros(3),
    ):
        results = results_of(DriverProxy(value), exercise)
        assert not any(result.status == "passed" for result in results)
        assert all(
            result.message.startswith(UNUSABLE) if result.status == "error" else result.message for result in results
        )


def test_only_the_named_tests_run():
    results = results_of(reference_answers().answer("normalize_reward"), tests={"test_equal_rewards_become_zeros"})
    assert [result.name for result in results] == ["equal rewards become zeros"]


def test_the_message_of_an_exception_holds_its_type_and_the_learners_line(tmp_path):
    package = tmp_path / "part1_rlhf"
    package.mkdir()
    text = "def normalize_reward(reward, eps=1e-5):\n    print('noise')\n    raise ValueError(f'secret {reward}')\n"
    (package / "normalize_reward.py").write_text(text)
    (package / "calc_kl_penalty.py").write_text("def calc_kl_penalty(:\n")
    answers = trusted_answers(tmp_path)
    results = run_suite(answers, ["normalize_reward", "calc_kl_penalty", "get_logprobs"])
    assert {result.message for result in results["normalize_reward"]} == {
        "ValueError, at line 3 of normalize_reward.py"
    }
    assert {result.message for result in results["calc_kl_penalty"]} == {"SyntaxError, at line 1 of calc_kl_penalty.py"}
    assert {(result.status, result.message) for result in results["get_logprobs"]} == {
        ("missing", "there is no get_logprobs.py")
    }


def test_another_folder_of_tests_runs_beside_the_first(tmp_path):
    shutil.copytree(HIDDEN, tmp_path / "hidden", ignore=shutil.ignore_patterns("__pycache__"))
    changed = tmp_path / "hidden/part1_rlhf/test_normalize_reward.py"
    halves = changed.read_text().count("points(0.5)")
    changed.write_text(changed.read_text().replace("points(0.5)", "points(7)"))
    answer = reference_answers().answer("normalize_reward")
    assert sum(result.points for result in results_of(answer, hidden=tmp_path / "hidden")) == 4 + 6.5 * halves
    assert sum(result.points for result in results_of(answer)) == 4


def test_a_test_without_points_is_an_error(tmp_path):
    shutil.copy(HIDDEN / "conftest.py", tmp_path)
    (tmp_path / "part1_rlhf").mkdir()
    (tmp_path / "part1_rlhf/test_normalize_reward.py").write_text("def test_nothing(normalize_reward):\n    pass\n")
    with pytest.raises(CourseError, match="points"):
        results_of(reference_answers().answer("normalize_reward"), hidden=tmp_path)
    with pytest.raises(CourseError, match=r"test_get_logprobs\.py"):
        results_of(reference_answers().answer("get_logprobs"), "get_logprobs", hidden=tmp_path)


def test_an_instructor_can_run_the_tests_by_hand():
    tests = HIDDEN / "part1_rlhf"
    chosen = [str(tests / "test_normalize_reward.py"), str(tests / "test_compute_advantages.py")]
    for folder, code in (("solutions", 0), ("notebooks", 1)):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *chosen,
            "--answers",
            str(ROOT / folder),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr


WANTED = torch.tensor([1.0, -2.0, 4.0])


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (-WANTED, "has the wrong sign"),
        (3 * WANTED, "too large throughout, by one factor"),
        (WANTED - 1, "too small throughout, by one amount"),
        (0 * WANTED, "is zero, and should not be"),
        (WANTED * WANTED, "is not right: because"),
        (WANTED / 0, "is not finite"),
        (WANTED.long(), "should hold floats; int64 came"),
        (WANTED[:2], "another size than it should have along dimension 0"),
        (WANTED[None], "should have 1 dimension; 2 came"),
        (WANTED.tolist(), "should be a tensor; a list came"),
        (None, "should be a tensor; nothing (None) came"),
    ],
)
def test_a_comparison_says_how_a_result_differs(got, words):
    with pytest.raises(AssertionError) as raised:
        expect_values(got, WANTED, "The result", "because")
        expect_form(got, WANTED, "The result", None)
    assert str(raised.value).startswith("The result") and words in str(raised.value)


def test_each_of_several_right_results_is_accepted():
    expect_values(WANTED, [WANTED + 1, WANTED], "The result")
    expect_values(WANTED.double(), WANTED, "The result in double precision")


def test_there_is_one_file_of_hidden_tests_for_every_exercise_and_no_other():
    assert {item.path.name for item in collected()} == {f"test_{exercise.file}" for exercise in EXERCISES}
