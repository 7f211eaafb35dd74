"""Recognise a known mistake: the answer in the bank that does the same on the inputs that the hidden tests drew."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf_course.bank import Bank, description_of, read_bank
from rlhf_course.course import BY_NAME
from rlhf_course.grading.drivers import offline_environment
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.judge.recorder import CallRecorder, RecordedCall, call_size, copied
from rlhf_course.grading.judge.suite import run_suite
from rlhf_course.grading.sandbox.answers import AnswerError, Answers, LocalAnswers
from rlhf_course.grading.secret import PUBLIC, Secret

# The calls that are compared: some of each test that the answer failed, and some of those that it passed.
_MAX_FAILED_CALLS, _MAX_PASSED_CALLS = 16, 8
# So many calls that a test makes of a right answer, each with so many numbers, are tried if mistakes do the same above.
_MAX_LATER_CALLS, _SMALL = 24, 10_000
_RTOL, _ATOL = 1e-4, 1e-6

RIGHT_ALONE = "The call that was refused is right if no other call is made before: keep nothing between calls."
Observation = dict[str, Any]
Calls = Mapping[str, list[RecordedCall]]


def recognised_mistake(
    answers: Answers,
    exercise: str,
    calls: Calls,
    failed: Sequence[str],
    hidden: Path,
    secret: Secret = PUBLIC,
) -> str | None:
    """Return the description of the known mistake that does the same as an answer in each of the recorded calls.

    The mistake has to differ from the reference in one of these calls, and no other mistake may do the same. A test
    ends at the first wrong result, which several mistakes may give; they are told apart by the calls that it would have
    made. If no mistake does the same, the call that was refused is made alone. If it is right then, the answer keeps
    something between calls.

    Args:
        answers: The learner's answers.
        exercise: The name of an exercise that is a function.
        calls: The calls by test, as a `CallRecorder` holds them.
        failed: The names of the tests that the answer failed.
        hidden: The folder of the hidden tests and of the bank.
        secret: The course's secret, from which the tests drew their inputs.

    Returns:
        The description; None if nothing is found, or more than one mistake does the same.
    """
    bank = read_bank(hidden / BY_NAME[exercise].path)  # A new module, since some mistakes keep values between calls.
    with offline_environment(exercise):
        matching = _matching(answers, exercise, bank, _chosen(calls, failed))
        if len(matching) > 1:
            all_calls = _calls_of_a_right_answer(exercise, hidden, secret)
            further = [call for test in failed for call in all_calls.get(test, [])]
            matching = _matching_in_further_calls(answers, exercise, bank, matching, further)
        if not matching and _is_right_alone(answers, exercise, calls, failed):
            return RIGHT_ALONE
    return description_of(BY_NAME[exercise], matching[0], bank.wrong[matching[0]]) if len(matching) == 1 else None


def _is_right_alone(answers: Answers, exercise: str, calls: Calls, failed: Sequence[str]) -> bool:
    """Return whether the last call of the first failed test is right where no other call was made before."""
    recorded = calls.get(failed[0], [])
    last = _arguments(recorded[-1]) if recorded else None
    if last is None:
        return False
    reference = reference_answers().answer(exercise)
    if is_same(_described(recorded[-1].result), observe_result(reference, last)["result"]):
        return False  # What was refused is too near to the right result for observations to differ.
    try:  # Each observation is made of a new copy of the answer.
        return all(
            is_same(observation(answers.answer(exercise), last), observation(reference, last))
            for observation in (observe_result, _gradients)
        )
    except AnswerError:
        return False


def _matching(answers: Answers, exercise: str, bank: Bank, calls: Sequence[Sequence[Any]]) -> list[str]:
    """Return the names of the mistakes that do the same as an answer in all calls, and are wrong in one of them."""
    functions = {name: LocalAnswers({exercise: answer}).answer(exercise) for name, answer in bank.wrong.items()}
    learners, reference = answers.answer(exercise), reference_answers().answer(exercise)
    differs = False
    for arguments in calls:
        came = observe(learners, arguments)
        functions = {name: function for name, function in functions.items() if _does(function, arguments, came)}
        if not functions:
            break
        differs = differs or not is_same(came, observe(reference, arguments))
    return list(functions) if differs else []


def _matching_in_further_calls(
    answers: Answers, exercise: str, bank: Bank, names: Sequence[str], calls: Sequence[RecordedCall]
) -> list[str]:
    """Return the mistakes that do the same as an answer also in the calls in which they differ from each other."""
    functions = {name: LocalAnswers({exercise: bank.wrong[name]}).answer(exercise) for name in names}
    learners = answers.answer(exercise)
    for arguments in _smallest_first(calls):
        seen = {name: observe(function, arguments) for name, function in functions.items()}
        first = next(iter(seen.values()))
        if all(is_same(first, other) for other in seen.values()):
            continue
        came = observe(learners, arguments)
        functions = {name: function for name, function in functions.items() if is_same(came, seen[name])}
        if len(functions) <= 1:
            break
    return list(functions)


@cache
def _calls_of_a_right_answer(exercise: str, hidden: Path, secret: Secret) -> Calls:
    """Return small calls that each test makes of an answer that it never refuses, for a class's wrong answers."""
    recorder = CallRecorder()
    run_suite(reference_answers(), [exercise], hidden, secret=secret, recorder=recorder)
    small = {
        test: [call for call in calls if call_size(_arguments(call) or []) <= _SMALL]
        for test, calls in recorder.calls.items()
    }
    return {test: calls[:: math.ceil(len(calls) / _MAX_LATER_CALLS) or 1] for test, calls in small.items()}


def _arguments(call: RecordedCall) -> Sequence[Any] | None:
    """Return the arguments of a call of the function; None if they were not kept, or some have keywords."""
    return None if call.driver or call.kwargs else call.args


def _chosen(calls: Calls, failed: Sequence[str]) -> list[Sequence[Any]]:
    """Return the last calls of the failed tests, of which one was refused, and some others; the smallest call first."""
    refused = [call for test in failed for call in reversed(calls.get(test, []))]
    others = [call for test, recorded in calls.items() if test not in failed for call in recorded]
    return _smallest_first(refused[:_MAX_FAILED_CALLS] + others[:: max(1, len(others) // _MAX_PASSED_CALLS)])


def _smallest_first(calls: Sequence[RecordedCall]) -> list[Sequence[Any]]:
    """Return the arguments of the calls that can be made again."""
    arguments = map(_arguments, calls)
    return sorted((values for values in arguments if values is not None), key=call_size)


def observe(function: Any, arguments: Sequence[Any]) -> Observation:
    """Return what a function does in a call: its result, what it changes, and its gradients, as detached tensors."""
    try:
        return observe_result(function, arguments) | _gradients(function, arguments)
    except AnswerError as error:
        return {"raised": error.exception or error.message}


def _does(function: Any, arguments: Sequence[Any], came: Observation) -> bool:
    """Return whether a function does in a call what came; its gradients are computed only if it returns the same."""
    try:
        observation = observe_result(function, arguments)
        if "raised" not in came and not is_same({part: came[part] for part in observation}, observation):
            return False
        return is_same(came, observation | _gradients(function, arguments))
    except AnswerError as error:
        return is_same(came, {"raised": error.exception or error.message})


def observe_result(function: Any, arguments: Sequence[Any]) -> Observation:
    """Return what a function returns and what it does to its arguments, as detached tensors.

    Raises:
        AnswerError: The function raised an exception.
    """
    passed = [copied(value) for value in arguments]
    result = function(*passed)
    tensors = _tensors([result, *passed])
    observation = {"result": _described(result), "require gradients": [value.requires_grad for value in tensors]}
    return observation | {f"argument {number}": _described(value) for number, value in enumerate(passed)}


def _gradients(function: Any, arguments: Sequence[Any]) -> Observation:
    """Return the gradients of a weighted sum of a function's results, and which arguments still require one."""
    passed = [copied(value) for value in arguments]
    sources = [value for value in passed if isinstance(value, Tensor) and value.is_floating_point()]
    if not sources:  # Another call would show nothing: texts and token ids have no gradients.
        return {"still require gradients": []}
    for source in sources:
        source.requires_grad_(True)
    results = [result for result in _tensors(function(*passed)) if result.requires_grad]
    flags: Observation = {"still require gradients": [source.requires_grad for source in sources]}
    if not (all(flags["still require gradients"]) and results):
        return flags
    weights = [torch.arange(1, result.numel() + 1, dtype=result.dtype).reshape(result.shape) for result in results]
    try:
        gradients = torch.autograd.grad(results, sources, weights, allow_unused=True)
    except RuntimeError:
        return flags | {"gradient": "none can be computed"}
    return flags | {f"gradient {number}": _described(gradient) for number, gradient in enumerate(gradients)}


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors of a result, which may be a list or a tuple of several."""
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return [value] if isinstance(value, Tensor) else []


def _described(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(_described, value)]
    return value if value is None or isinstance(value, bool | int | float | str) else type(value).__name__


def is_same(first: Any, second: Any) -> bool:
    """Return whether two observations, or parts of them, are equal up to rounding."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return _is_close(first, second)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(is_same(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(is_same(*pair) for pair in zip(first, second, strict=True))
    if isinstance(first, float) and isinstance(second, float):
        both_nan = math.isnan(first) and math.isnan(second)
        return both_nan or math.isclose(first, second, rel_tol=_ATOL, abs_tol=_ATOL)
    return type(first) is type(second) and bool(first == second)


def _is_close(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return torch.allclose(first.double(), second.double(), rtol=_RTOL, atol=_ATOL, equal_nan=True)
