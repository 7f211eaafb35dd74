"""A right answer keeps its marks in other wrappings, and one that ruins its arguments loses the test that says so."""

import functools
import itertools

import pytest
import torch
from torch import Tensor

from rlhf_course.checks.torch_settings import SETTINGS, changed_settings, torch_settings
from rlhf_course.course import EXERCISES
from rlhf_course.grading.drivers import DRIVEN, offline_environment
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.judge.suite import run_suite
from rlhf_course.grading.sandbox.answers import LocalAnswers
from rlhf_course.learner_package import imported_answer

FUNCTIONS = [exercise.name for exercise in EXERCISES if exercise.name not in DRIVEN]
WITHOUT_MUTABLE_ARGUMENTS = {"best_of_n_kl", "verify_sorted"}
WITHOUT_FLOAT_TENSORS = {
    *WITHOUT_MUTABLE_ARGUMENTS,
    "completion_mask",
    "reward_fn_char_count",
    "reward_fn_sentiment_imdb",
}
WITH_FLOATS = [name for name in FUNCTIONS if name not in WITHOUT_FLOAT_TENSORS]

# Their results carry gradients.
WITH_LOSS = [name for name in WITH_FLOATS if name.endswith(("loss", "logprobs", "estimate", "bonus", "penalty"))]


def printing(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        print("called with", args, kwargs)
        return function(*args, **kwargs)

    return wrapper


def undocumented(function):
    return lambda *args, **kwargs: function(*args, **kwargs)


def counting(function):
    calls = []

    class Counter:
        def __call__(self, *args, **kwargs):
            calls.append(len(args))
            return function(*args, **kwargs)

    return Counter()


def drawing_random_numbers(function):
    def wrapper(*args, **kwargs):
        torch.rand(3)
        torch.rand(3, generator=torch.Generator().manual_seed(len(args)))
        return function(*args, **kwargs)

    return wrapper


def ruining(function):
    """Return a function that returns the right result and leaves zeros and empty lists in the caller's arguments.

    It leaves them alone where a backward pass may still need them.
    """

    def wrapper(*args, **kwargs):
        result = function(*args, **kwargs)
        results = result if isinstance(result, tuple) else (result,)
        if any(isinstance(part, Tensor) and part.requires_grad for part in results):
            return result
        for argument in (*args, *kwargs.values()):
            if isinstance(argument, Tensor) and not argument.requires_grad:
                argument.zero_()
            elif isinstance(argument, list):
                argument.clear()
        return result

    return wrapper


def map_floats(value, function):
    """Return a value with a function applied to each float tensor and float in it."""
    if isinstance(value, tuple):
        return tuple(map_floats(part, function) for part in value)
    is_float = value.is_floating_point() if isinstance(value, Tensor) else isinstance(value, float)
    return function(value) if is_float else value


def in_single_precision(function):
    """Return a function that computes in float32, and returns what it computed in the dtype of its first argument."""

    def wrapper(*args, **kwargs):
        singles = [arg.float() if isinstance(arg, Tensor) and arg.is_floating_point() else arg for arg in args]
        result = function(*singles, **kwargs)
        return map_floats(result, lambda part: part.to(args[0].dtype))

    return wrapper


def rounded(part):
    """Round a result to four decimals, and leave its gradient as it is."""
    if not isinstance(part, Tensor):
        return round(part, 4)
    return part + (part.round(decimals=4) - part).detach()


def with_gradients(function):
    """Return a function that computes gradients, whether its caller has switched them off or not."""
    return torch.enable_grad()(function)


def refused(exercise: str, answer) -> list[tuple[str, str]]:
    """Return the names and messages of the hidden tests that an answer does not pass."""
    with offline_environment("reward_fn_sentiment_imdb"):
        results = run_suite(LocalAnswers({exercise: answer}), [exercise])[exercise]
    return [(result.name, result.message) for result in results if result.status != "passed"]


SETTERS = {
    "its default dtype": lambda: torch.set_default_dtype(torch.float64),
    "its default device": lambda: torch.set_default_device("meta"),
    "its detection of anomalies": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "the precision of its float32 products": lambda: torch.set_float32_matmul_precision("medium"),
    "the precision of its float16 and bfloat16 products": lambda: setattr(
        torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False
    ),
    "whether its algorithms are deterministic": lambda: torch.use_deterministic_algorithms(True),
    "its automatic casts": lambda: torch.set_autocast_enabled("cpu", True),
    "its number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "how it rounds numbers near 0": lambda: torch.set_flush_denormal(True),
}


def setting(words, function):
    """Return a function that returns the right result and leaves a setting of torch changed."""

    def wrapper(*args, **kwargs):
        result = function(*args, **kwargs)
        SETTERS[words]()
        return result

    return wrapper


@pytest.fixture(autouse=True, scope="module")
def _reference():
    reference_answers()


@pytest.mark.parametrize(
    "wrapping", [printing, undocumented, counting, drawing_random_numbers], ids=lambda wrapping: wrapping.__name__
)
@pytest.mark.parametrize("exercise", FUNCTIONS)
def test_a_right_answer_in_another_wrapping_keeps_full_marks(exercise, wrapping):
    assert refused(exercise, wrapping(imported_answer(exercise))) == []


@pytest.mark.parametrize("exercise", [name for name in FUNCTIONS if name not in WITHOUT_MUTABLE_ARGUMENTS])
def test_a_right_answer_that_ruins_its_arguments_loses_the_test_that_says_so_and_no_other(exercise):
    ((_, message),) = refused(exercise, ruining(imported_answer(exercise)))
    assert "was changed" in message


@pytest.mark.parametrize(
    ("exercise", "words"),
    [
        *zip(FUNCTIONS, itertools.cycle(SETTERS), strict=False),
        *(("completion_mask", words) for words in SETTERS),
    ],
)
def test_a_right_answer_that_changes_a_setting_of_torch_loses_one_test_which_says_which(exercise, words):
    before = torch_settings()
    ((_, message),) = refused(exercise, setting(words, imported_answer(exercise)))
    assert "changes a setting of torch" in message and words in message
    assert changed_settings(before) == []


@pytest.mark.parametrize("exercise", WITH_LOSS)
def test_a_right_answer_that_switches_gradients_on_loses_one_test(exercise):
    ((_, message),) = refused(exercise, with_gradients(imported_answer(exercise)))
    assert message.startswith("Under the caller's torch.no_grad, a call computes gradients all the same")


def test_each_setting_of_torch_has_an_answer_that_changes_it():
    assert tuple(SETTERS) == SETTINGS


@pytest.mark.parametrize("exercise", WITH_FLOATS)
def test_float64_tensors_that_are_computed_with_in_float32_cost_one_test(exercise):
    ((_, message),) = refused(exercise, in_single_precision(imported_answer(exercise)))
    assert "float64" in message


@pytest.mark.parametrize("exercise", [name for name in (*WITH_FLOATS, "best_of_n_kl") if name != "best_of_n"])
def test_a_result_that_is_rounded_to_four_decimals_is_refused_and_told_so(exercise):
    function = imported_answer(exercise)
    refusals = refused(exercise, lambda *args, **kwargs: map_floats(function(*args, **kwargs), rounded))
    assert any("rounded to a few decimals" in message for _, message in refusals), refusals
