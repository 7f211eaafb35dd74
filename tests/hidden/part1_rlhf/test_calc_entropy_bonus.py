"""Hidden tests of `calc_entropy_bonus`.

Tests of one circumstance, such as extreme logits, use texts of one token and a coefficient of 1. So an answer that is
wrong in another way does not fail them for that.
"""

import math

import pytest
import torch

from rlhf_course.checks.core import normal, round_to_quarters
from rlhf_course.grading.judge.expect import expect

WHY = "it is minus the sum over the vocabulary of p * log p, averaged over texts and positions"


def entropy(logits):
    """Return the entropy at every position, in double precision."""
    logprobs = logits.double().log_softmax(-1)
    return -(logprobs.exp() * logprobs).sum(-1)


def entropy_gradient(logits):
    """Return the gradient of the mean entropy at the logits, derived on paper."""
    logprobs = logits.double().log_softmax(-1)
    return -logprobs.exp() * (logprobs + entropy(logits)[..., None]) / (logits.shape[0] * logits.shape[1])


@pytest.mark.points(1.5)
def test_entropy_is_summed_over_the_vocabulary_and_averaged_over_the_rest(calc_entropy_bonus):
    for index, (texts, gen_len, vocab) in enumerate([(3, 5, 9), (1, 4, 7), (5, 2, 3), (2, 9, 6)]):
        logits = 1.5 * normal(texts, gen_len, vocab, seed=610 + index)
        got = calc_entropy_bonus(logits.clone(), 1.0, gen_len)
        expect(got, entropy(logits).mean(), "The bonus of texts of several tokens", WHY)


@pytest.mark.points(1.5)
def test_the_gradient_at_the_logits_is_that_of_the_entropy(calc_entropy_bonus):
    logits = 1.2 * normal(4, 1, 7, seed=620)
    leaf = logits.clone().requires_grad_(True)
    got = calc_entropy_bonus(leaf, 1.0, 1)
    expect(got, entropy(logits).mean(), "The bonus of texts of one token", WHY)
    assert got.requires_grad, "No gradient of the bonus reaches the logits, so it cannot keep the policy exploring"
    (gradient,) = torch.autograd.grad(got, leaf)
    expect(
        gradient,
        entropy_gradient(logits),
        "The gradient of the bonus",
        "the probabilities that weight the sum count too: detach none of them",
    )


@pytest.mark.points(1)
def test_extreme_logits_give_finite_numbers_and_gradients(calc_entropy_bonus):
    logits = normal(3, 1, 5, seed=630).sign() * 1e4 + round_to_quarters(normal(3, 1, 5, seed=631))
    leaf = logits.clone().requires_grad_(True)
    got = calc_entropy_bonus(leaf, 1.0, 1)
    expect(
        got,
        entropy(logits).mean(),
        "The bonus of logits near 10000 and -10000",
        "use log_softmax, never softmax and then log",
        rtol=2e-3,
        atol=5e-3,
    )
    if got.requires_grad:
        (gradient,) = torch.autograd.grad(got, leaf)
        assert bool(torch.isfinite(gradient).all()), (
            "The gradient of the bonus of logits near 10000 and -10000 is not finite"
        )


@pytest.mark.points(1)
def test_entropy_is_largest_for_a_uniform_and_0_for_a_certain_token(calc_entropy_bonus):
    vocab = 53
    uniform = calc_entropy_bonus(torch.full((2, 1, vocab), 4.0), 1.0, 1)
    reason = "it is the logarithm of the vocabulary's size: every token counts, whatever is sampled"
    expect(uniform, torch.tensor(math.log(vocab)), "The bonus of tokens that are all as likely", reason)
    certain = torch.zeros(2, 1, vocab)
    certain[:, :, 11] = 60.0
    expect(
        calc_entropy_bonus(certain, 1.0, 1),
        torch.tensor(0.0),
        "The bonus of one token that is certain",
        "there is no surprise in it",
    )


@pytest.mark.points(0.5)
def test_ent_coef_scales_the_bonus(calc_entropy_bonus):
    logits = normal(2, 1, 6, seed=640)
    for ent_coef in (0.3, 7.0, 0.0):
        got = calc_entropy_bonus(logits.clone(), ent_coef, 1)
        expect(
            got,
            ent_coef * entropy(logits).mean(),
            "The bonus with another coefficient",
            "it is `ent_coef` times the mean entropy",
        )


@pytest.mark.points(0.5)
def test_the_logits_are_left_as_they_were(calc_entropy_bonus):
    logits = normal(2, 1, 5, seed=650)
    passed = logits.clone()
    expect(calc_entropy_bonus(passed, 1.0, 1), entropy(logits).mean(), "The bonus", WHY)
    assert torch.equal(passed, logits), "The logits were changed in place: make new tensors"
