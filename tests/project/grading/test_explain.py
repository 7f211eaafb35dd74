"""An instructor sees what one hidden test passed, what came back and what was wanted."""

import pytest
import torch

from rlhf_course.errors import CourseError
from rlhf_course.grading.judge.explain import explain
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.judge.recorder import RecordedCall
from rlhf_course.grading.judge.reproduce import reproduction
from rlhf_course.grading.judge.suite import collected_names
from rlhf_course.grading.sandbox.answers import LocalAnswers
from rlhf_course.grading.secret import PUBLIC, Secret
from rlhf_course.learner_package import imported_answer

TEST = "test_kl_coef_scales_the_penalty"


def account(answer, test=TEST, secret=PUBLIC) -> str:
    return "\n".join(explain(LocalAnswers({"calc_kl_penalty": answer}), "calc_kl_penalty", test, secret))


def always_one(logits, ref_logits, kl_coef, gen_len):
    return (0 * logits).sum() + 1


def test_inputs_result_and_wanted_are_shown_with_the_tests_result():
    text = account(always_one)
    assert f"(1 points), with the secret {PUBLIC.fingerprint}" in text
    assert "call 1" in text and "  1 = float32[" in text and "returned float32[] 1.0" in text
    assert "came   float32[] 1.0" in text and "wanted float64[] " in text
    assert text.splitlines()[-1].startswith("failed: The penalty with another coefficient")


def test_the_test_may_be_named_as_in_the_results_and_the_secret_decides_the_inputs():
    assert account(always_one, "kl coef scales the penalty") == account(always_one)
    assert account(always_one, secret=Secret(b"s" * 32)) != account(always_one)


def test_an_exception_of_the_answer_is_shown_as_what_came_back():
    def broken(logits, ref_logits, kl_coef, gen_len):
        raise ValueError("no")

    assert "returned 'ValueError" in account(broken)


def test_an_unknown_test_is_named_with_those_that_there_are():
    with pytest.raises(CourseError, match=r"no hidden test 'test_nothing'; it has: .*kl coef scales the penalty"):
        account(always_one, "test_nothing")


def python_of(text: str) -> str:
    """The lines of Python in an account."""
    return text.partition("\nin a notebook\n")[2].rpartition("\n\n")[0]


def test_the_lines_of_python_make_the_calls_again(capsys):
    code = python_of(account(always_one))
    calls: list[tuple[object, ...]] = []

    def recorded(*arguments):
        calls.append(arguments)
        return always_one(*arguments)

    exec(code, {"calc_kl_penalty": recorded})
    shown = account(always_one)
    assert len(calls) == code.count("# call") and capsys.readouterr().out == "tensor(1.)\n" * len(calls)
    numbers = torch.round(calls[-1][0].detach().double(), decimals=5).tolist()
    assert str(numbers)[:200] in shown and "logits = torch.tensor(" in code


def test_a_script_holds_all_calls_with_their_large_tensors_and_runs(tmp_path):
    test = next(name for name in collected_names("calc_kl_penalty") if "vocab" in name)
    text = "\n".join(
        explain(LocalAnswers({"calc_kl_penalty": always_one}), "calc_kl_penalty", test, PUBLIC, tmp_path / "out")
    )
    script = tmp_path / "out/reproduce.py"
    assert f"%run -i {script}" in text and list((tmp_path / "out").glob("*.pt"))
    calls = []
    exec(script.read_text(), {"calc_kl_penalty": lambda *arguments: calls.append(arguments)})
    assert calls and max(call[0].numel() for call in calls) > 400


def test_python_keeps_strides_types_and_values_and_names_what_is_too_large_for_a_line():
    view = torch.arange(6.0).reshape(2, 3).T.requires_grad_()
    call = RecordedCall("", [view, [True, None, "a'b", (1,)], float("inf"), torch.zeros(0, 3), torch.zeros(500)], {})
    lines = list(reproduction("an exercise", [call]))
    namespace: dict[str, object] = {}
    exec("\n".join(line for line in lines if line.startswith(("import", "argument"))), namespace)
    same = namespace["argument_1"]
    assert torch.equal(same, view) and same.stride() == view.stride() and same.requires_grad
    assert namespace["argument_2"] == [True, None, "a'b", (1,)] and namespace["argument_3"] == float("inf")
    assert namespace["argument_4"].shape == (0, 3)
    assert "argument_5 = ...  # 500 entries: `--explain-to DIR` saves them" in lines


def test_the_calls_of_a_driver_are_made_through_it(tmp_path, capsys):
    """A class is reached through drivers, also in the lines of Python."""
    name = collected_names("get_optimizer")[0]
    answers = reference_answers()
    text = "\n".join(explain(answers, "get_optimizer", name, PUBLIC, tmp_path))
    assert text.splitlines()[-1] == "passed"
    exec((tmp_path / "reproduce.py").read_text(), {"get_optimizer": imported_answer("get_optimizer")})
    assert capsys.readouterr().out
