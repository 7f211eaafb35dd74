"""Hidden tests of `calc_kl_penalty`."""

import pytest
import torch

from rlhf_course.grading.judge.circumstances import (
    BEYOND_FLOAT32,
    DOUBLE,
    ORDINARY,
    Circumstance,
    Floats,
    Inputs,
    Number,
    Size,
)
from rlhf_course.grading.judge.compare import (
    expect_form,
    expect_gradient_as_elsewhere,
    expect_results_stay,
    expect_unchanged,
    expect_values,
    gradient_at,
    is_right,
)
from rlhf_course.grading.judge.rollouts import drawn_minibatch

WHY = (
    "it is the sum over the vocabulary of p * (log p - log p_ref), where p is the policy's probability, averaged over "
    "texts and positions"
)


def from_rollout(draw):
    """Draw logits of the policy and the reference, sliced as the trainer slices them."""
    batch = drawn_minibatch(draw)
    logits, ref_logits = batch.generated(batch.logits), batch.generated(batch.ref_logits)
    return {"logits": logits, "ref_logits": ref_logits, "gen_len": batch.gen_len}


INPUTS = Inputs(
    sizes={"texts": (2, 6), "gen_len": (2, 7), "vocab": (3, 9)},
    arguments={
        "logits": Floats(("texts", "gen_len", "vocab")),
        "ref_logits": Floats(("texts", "gen_len", "vocab"), scale=1.4),
        "kl_coef": Number(0.1, 4.0),
        "gen_len": Size("gen_len"),
    },
    words={"texts": "one text", "gen_len": "one generated token"},
    vocabulary="vocab",
    extreme=10_000,
    rollout=from_rollout,
)


def divergence(logits, ref_logits):
    """Return D_KL(policy || reference) at each position."""
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return (new.exp() * (new - ref)).sum(-1)


def penalty(logits, ref_logits, kl_coef, gen_len):
    """Return the penalty."""
    return kl_coef * divergence(logits, ref_logits).mean()


def penalty_gradient(logits, ref_logits, kl_coef, gen_len):
    """Return the gradient of the penalty with respect to the logits, derived by hand."""
    new, ref = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    positions = logits.shape[0] * logits.shape[1]
    return kl_coef * new.exp() * (new - ref - divergence(logits, ref_logits)[..., None]) / positions


def expect_penalty(calc_kl_penalty, call, **tolerance):
    """Require the right penalty in one call, and return it."""
    got = calc_kl_penalty(*call.passed())
    return expect_values(got, call.right(penalty), call.subject("The penalty"), WHY, call, penalty, **tolerance)


@pytest.mark.points(2)
def test_the_divergence_is_summed_over_the_vocabulary_and_averaged_over_the_rest(calc_kl_penalty, draw):
    sizes = {"texts": draw.integer(17, 24), "gen_len": draw.integer(36, 64)}
    many = Circumstance("for many texts of many tokens", sizes=sizes)
    for call in INPUTS.calls(draw, [*INPUTS.size_circumstances(), many], each=2):
        expect_penalty(calc_kl_penalty, call)


def expect_gradient(calc_kl_penalty, call):
    """Require the right penalty and its right gradient at the logits in one call."""
    logits, *others = call.passed()
    got = calc_kl_penalty(logits.requires_grad_(True), *others)
    mended = expect_values(got, call.right(penalty), call.subject("The penalty"), WHY, call, penalty, rtol=1e-3)
    assert mended.requires_grad, (
        "No gradient of the penalty reaches the policy's logits, so it cannot hold the policy back"
    )
    why = "every part of the sum that holds the policy's logits counts, its probabilities too: detach none of them"
    subject, atol = call.subject("The gradient of the penalty"), 2e-4 * call.exact["kl_coef"]
    gradient = gradient_at(logits, mended, subject)
    wanted = call.right(penalty_gradient)
    expect_values(gradient, wanted, subject, why, call, penalty_gradient, rtol=1e-3, atol=atol)


@pytest.mark.points(2)
def test_the_gradient_at_the_policys_logits_is_that_of_the_divergence(calc_kl_penalty, draw):
    for call in INPUTS.calls(draw, INPUTS.gradient_circumstances()):
        expect_gradient(calc_kl_penalty, call)
    for call in INPUTS.calls(draw, INPUTS.further_gradient_circumstances()):
        if is_right(calc_kl_penalty, call, [penalty]):
            expect_gradient(calc_kl_penalty, call)


@pytest.mark.points(1.5)
def test_extreme_logits_give_finite_numbers_and_gradients(calc_kl_penalty, draw):
    logits, *others = INPUTS.call(draw.numbered(-1)).passed()
    ordinary = calc_kl_penalty(logits.requires_grad_(True), *others)
    for call in INPUTS.calls(draw, [INPUTS.extreme_entries()], each=3):
        logits, *others = call.passed()
        got = calc_kl_penalty(logits.requires_grad_(True), *others)
        why = "it is not capped, and log_softmax gives it, where softmax and then log does not"
        mended = expect_values(got, call.right(penalty), call.subject("The penalty"), why, call, penalty, rtol=2e-3)
        subject = call.subject("The gradient of the penalty")
        expect_gradient_as_elsewhere(mended, ordinary, subject)
        if mended.requires_grad:
            gradient = gradient_at(logits, mended, subject)
            assert bool(torch.isfinite(gradient).all()), f"{subject} is not finite"


@pytest.mark.points(1)
def test_every_circumstance_that_training_meets_gives_the_same_penalty(calc_kl_penalty, draw):
    for call in INPUTS.calls(draw, INPUTS.other_circumstances()):
        expect_penalty(calc_kl_penalty, call, rtol=1e-3)
    expect_results_stay(calc_kl_penalty, list(INPUTS.calls(draw, [ORDINARY])), penalty, "The penalty")


@pytest.mark.points(1)
def test_kl_coef_scales_the_penalty(calc_kl_penalty, draw):
    for number, kl_coef in enumerate(draw.shuffled([0.0, draw.number(0.01, 0.05), draw.number(8, 30)])):
        call = INPUTS.call(draw.numbered(number))
        logits, ref_logits, _, gen_len = call.passed()
        wanted = penalty(**{**call.exact, "kl_coef": kl_coef})
        got = calc_kl_penalty(logits, ref_logits, kl_coef, gen_len)
        expect_values(got, wanted, "The penalty with another coefficient", "it is `kl_coef` times the mean divergence")


@pytest.mark.points(0.5)
def test_the_penalty_is_one_number_of_the_inputs_dtype_and_the_inputs_stay_as_they_were(calc_kl_penalty, draw):
    expect_penalty(calc_kl_penalty, INPUTS.call(draw.numbered(0)))
    without = INPUTS.call(draw.numbered(-1), DOUBLE).with_arguments("for kl_coef = 0 and float64 tensors", kl_coef=0.0)
    for call in (*INPUTS.calls(draw, INPUTS.all_circumstances()), without):
        passed = call.passed()
        got = calc_kl_penalty(*passed)
        expect_form(got, torch.tensor(0.0), call.subject("The penalty"), call.circumstance.dtype)
        expect_unchanged(call, passed)
    expect_penalty(calc_kl_penalty, INPUTS.call(draw.numbered(-2), BEYOND_FLOAT32))
