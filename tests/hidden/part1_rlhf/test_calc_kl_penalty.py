"""Hidden tests of `calc_kl_penalty`.

Tests of one circumstance, such as extreme logits, use texts of one token and a coefficient of 1. So an answer that is
wrong in another way does not fail them for that.
"""

import pytest
import torch

from rlhf_course.checks.core import normal, round_to_quarters
from rlhf_course.grading.judge.expect import expect

WHY = (
    "it is the sum over the vocabulary of p * (log p - log p_ref), p being the policy's, averaged over texts and "
    "positions"
)


def divergence(logits, ref_logits):
    """Return D_KL(policy || reference) at every position, in double precision."""
    new, ref = logits.double().log_softmax(-1), ref_logits.double().log_softmax(-1)
    return (new.exp() * (new - ref)).sum(-1)


def divergence_gradient(logits, ref_logits):
    """Return the gradient of the mean divergence at the logits, derived on paper."""
    new, ref = logits.double().log_softmax(-1), ref_logits.double().log_softmax(-1)
    positions = logits.shape[0] * logits.shape[1]
    return new.exp() * (new - ref - divergence(logits, ref_logits)[..., None]) / positions


def random_logits(*shape, seed):
    """Return the logits of a policy and of its reference."""
    return normal(*shape, seed=seed), 1.4 * normal(*shape, seed=seed + 1)


def extreme_logits(*shape, seed):
    """Return logits near 10000 and -10000."""
    return normal(*shape, seed=seed).sign() * 1e4 + round_to_quarters(normal(*shape, seed=seed + 1))


@pytest.mark.points(2)
def test_the_divergence_is_summed_over_the_vocabulary_and_averaged_over_the_rest(calc_kl_penalty):
    for index, (texts, gen_len, vocab) in enumerate([(3, 5, 9), (1, 4, 7), (5, 2, 3), (2, 9, 6)]):
        logits, ref_logits = random_logits(texts, gen_len, vocab, seed=510 + 2 * index)
        got = calc_kl_penalty(logits.clone(), ref_logits.clone(), 1.0, gen_len)
        expect(got, divergence(logits, ref_logits).mean(), "The penalty of texts of several tokens", WHY)


@pytest.mark.points(2)
def test_the_gradient_at_the_policys_logits_is_that_of_the_divergence(calc_kl_penalty):
    logits, ref_logits = random_logits(4, 1, 7, seed=530)
    leaf = logits.clone().requires_grad_(True)
    got = calc_kl_penalty(leaf, ref_logits, 1.0, 1)
    expect(got, divergence(logits, ref_logits).mean(), "The penalty of texts of one token", WHY)
    assert got.requires_grad, (
        "No gradient of the penalty reaches the policy's logits, so it cannot hold the policy back"
    )
    (gradient,) = torch.autograd.grad(got, leaf)
    reason = "every part of the sum that holds the policy's logits counts, its probabilities too: detach none of them"
    expect(gradient, divergence_gradient(logits, ref_logits), "The gradient of the penalty", reason)


@pytest.mark.points(1.5)
def test_extreme_logits_give_finite_numbers_and_gradients(calc_kl_penalty):
    logits, ref_logits = extreme_logits(3, 1, 5, seed=540), extreme_logits(3, 1, 5, seed=543)
    for new, ref in ((logits, ref_logits), (ref_logits, logits)):
        leaf = new.clone().requires_grad_(True)
        got = calc_kl_penalty(leaf, ref.clone(), 1.0, 1)
        expect(
            got,
            divergence(new, ref).mean(),
            "The penalty of logits near 10000 and -10000",
            "it is neither rounded nor capped: use log_softmax, never softmax and then log",
            rtol=2e-3,
            atol=5e-3,
        )
        if got.requires_grad:
            (gradient,) = torch.autograd.grad(got, leaf)
            assert bool(torch.isfinite(gradient).all()), (
                "The gradient of the penalty of logits near 10000 and -10000 is not finite"
            )


@pytest.mark.points(1)
def test_equal_distributions_have_none_and_only_the_distributions_matter(calc_kl_penalty):
    logits, ref_logits = random_logits(3, 1, 53, seed=550)
    none = calc_kl_penalty(logits.clone(), logits.clone(), 1.0, 1)
    expect(
        none,
        torch.tensor(0.0),
        "The penalty of a policy that equals its reference",
        "a distribution does not diverge from itself",
    )
    for up, down in ((0.0, 0.0), (100.0, -40.0)):
        got = calc_kl_penalty(logits + up, ref_logits + down, 1.0, 1)
        expect(
            got,
            divergence(logits, ref_logits).mean(),
            "The penalty over a large vocabulary",
            "every token counts, and adding a number to all logits changes nothing",
            rtol=1e-3,
        )


@pytest.mark.points(1)
def test_kl_coef_scales_the_penalty(calc_kl_penalty):
    logits, ref_logits = random_logits(2, 1, 6, seed=560)
    for kl_coef in (0.3, 7.0, 0.0):
        got = calc_kl_penalty(logits.clone(), ref_logits.clone(), kl_coef, 1)
        expect(
            got,
            kl_coef * divergence(logits, ref_logits).mean(),
            "The penalty with another coefficient",
            "it is `kl_coef` times the mean divergence",
        )


@pytest.mark.points(0.5)
def test_both_logits_are_left_as_they_were(calc_kl_penalty):
    logits, ref_logits = random_logits(2, 1, 5, seed=570)
    passed, ref_passed = logits.clone(), ref_logits.clone()
    expect(calc_kl_penalty(passed, ref_passed, 1.0, 1), divergence(logits, ref_logits).mean(), "The penalty", WHY)
    assert torch.equal(passed, logits), "The policy's logits were changed in place: make new tensors"
    assert torch.equal(ref_passed, ref_logits), "The reference's logits were changed in place: make new tensors"
