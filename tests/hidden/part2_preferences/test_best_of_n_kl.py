"""Hidden tests of `best_of_n_kl`."""

import pytest
import torch

from rlhf_course.checks.core import Answer
from rlhf_course.grading.judge.compare import expect_calls_leave_torch_alone, expect_value_error, expect_values
from rlhf_course.grading.sandbox.serialization import known_class_name

WHY = "it is log n - (n - 1) / n, in nats"
# Single precision is exact enough, and a result that is rounded to four decimals is not.
EXACT, ABOUT = 3e-6, 9e-4


def divergence(n: int) -> torch.Tensor:
    """Return the divergence, from the natural logarithm in double precision."""
    return torch.tensor(float(n), dtype=torch.float64).log() - 1 + 1 / n


def expect_divergence(best_of_n_kl: Answer, n: int, phrase: str, atol: float = ABOUT) -> None:
    """Require the right divergence for one number of texts, up to a tolerance."""
    expect_values(best_of_n_kl(n), divergence(n), f"The divergence {phrase}", WHY, rtol=1e-6, atol=atol)


def thousands(draw):
    """Draw a number of texts for which log n - 1 is about right, so that other tests refuse that formula."""
    return draw.integer(3_000, 4_000)


@pytest.mark.points(1.5)
def test_the_divergence_is_log_n_minus_the_share_of_texts_not_chosen(best_of_n_kl, draw):
    for n in draw.shuffled([2, 3, *draw.distinct_integers(4, 40, 4), *draw.distinct_integers(41, 900, 4)]):
        expect_divergence(best_of_n_kl, n, "for a few texts", EXACT)
    for n in draw.distinct_integers(1_000, 20_000, 6):
        expect_divergence(best_of_n_kl, n, "for thousands of texts", EXACT)


@pytest.mark.points(0.5)
def test_the_best_of_a_single_text_has_no_divergence(best_of_n_kl, draw):
    expect_divergence(best_of_n_kl, thousands(draw), "for thousands of texts")
    expect_divergence(best_of_n_kl, 1, "for a single text")


@pytest.mark.points(1)
def test_very_many_texts_are_no_special_case(best_of_n_kl, draw):
    beyond = draw.integer(2_000_000, 10**9)
    for n in draw.shuffled([1_000_000, 65_536, beyond, *draw.distinct_integers(20_000, 999_999, 4)]):
        expect_divergence(best_of_n_kl, n, "for very many texts")


@pytest.mark.points(0.5)
def test_fewer_than_one_text_is_a_value_error(best_of_n_kl, draw):
    expect_divergence(best_of_n_kl, thousands(draw), "for thousands of texts")
    for n in draw.shuffled([0, -1, -draw.integer(2, 50)]):
        expect_value_error(best_of_n_kl, [n], "A number of texts less than 1")


@pytest.mark.points(0.5)
def test_the_divergence_is_a_python_float_and_torch_stays_as_it_was(best_of_n_kl, draw):
    for n in (thousands(draw), thousands(draw)):
        got = best_of_n_kl(n)
        kind = known_class_name(type(got).__name__)
        assert isinstance(got, float), f"The divergence should be a Python float; a {kind} came"
        expect_divergence(best_of_n_kl, n, "for thousands of texts")
    expect_calls_leave_torch_alone(best_of_n_kl, [[thousands(draw)]])
