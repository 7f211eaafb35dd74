"""Hidden tests of `calc_entropy_bonus`."""

import math

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

WHY = "it is minus the sum over the vocabulary of p * log p, averaged over texts and positions"


def from_rollout(draw):
    """Draw logits of the policy, sliced as the trainer slices them."""
    batch = drawn_minibatch(draw)
    return {"logits": batch.generated(batch.logits), "gen_len": batch.gen_len}


INPUTS = Inputs(
    sizes={"texts": (1, 6), "gen_len": (1, 7), "vocab": (3, 9)},
    arguments={
        "logits": Floats(("texts", "gen_len", "vocab"), scale=1.5),
        "ent_coef": Number(0.1, 4.0),
        "gen_len": Size("gen_len"),
    },
    words={"texts": "one text", "gen_len": "one generated token"},
    vocabulary="vocab",
    extreme=10_000,
    rollout=from_rollout,
)


def entropy(logits):
    """Return the entropy at each position: the logarithm of the normaliser minus the mean logit."""
    return logits.logsumexp(-1) - (logits.softmax(-1) * logits).sum(-1)


def bonus(logits, ent_coef, gen_len):
    """Return the bonus."""
    return ent_coef * entropy(logits).mean()


def bonus_gradient(logits, ent_coef, gen_len):
    """Return the gradient of the bonus with respect to the logits, derived by hand."""
    logprobs = logits.log_softmax(-1)
    positions = logits.shape[0] * logits.shape[1]
    return -ent_coef * logprobs.exp() * (logprobs + entropy(logits)[..., None]) / positions


def expect_bonus(calc_entropy_bonus, call, **tolerance):
    """Require the right bonus in one call, and return it."""
    got = calc_entropy_bonus(*call.passed())
    return expect_values(got, call.right(bonus), call.subject("The bonus"), WHY, call, bonus, **tolerance)


@pytest.mark.points(1.5)
def test_entropy_is_summed_over_the_vocabulary_and_averaged_over_the_rest(calc_entropy_bonus, draw):
    sizes = {"texts": draw.integer(17, 24), "gen_len": draw.integer(36, 64)}
    many = Circumstance("for many texts of many tokens", sizes=sizes)
    for call in INPUTS.calls(draw, [*INPUTS.size_circumstances(), many], each=2):
        expect_bonus(calc_entropy_bonus, call)


def expect_gradient(calc_entropy_bonus, call):
    """Require the right bonus and its right gradient at the logits in one call."""
    logits, *others = call.passed()
    got = calc_entropy_bonus(logits.requires_grad_(True), *others)
    tolerance = {"rtol": 1e-3, "atol": 4e-3 * call.exact["ent_coef"]}
    mended = expect_values(got, call.right(bonus), call.subject("The bonus"), WHY, call, bonus, **tolerance)
    assert mended.requires_grad, "No gradient of the bonus reaches the logits, so it cannot keep the policy exploring"
    why = "every part of the sum that holds the logits counts, the probabilities too: detach none of them"
    subject, atol = call.subject("The gradient of the bonus"), 2e-4 * call.exact["ent_coef"]
    gradient = gradient_at(logits, mended, subject)
    expect_values(gradient, call.right(bonus_gradient), subject, why, call, bonus_gradient, rtol=1e-3, atol=atol)


@pytest.mark.points(1)
def test_the_gradient_at_the_logits_is_that_of_the_entropy(calc_entropy_bonus, draw):
    for call in INPUTS.calls(draw, INPUTS.gradient_circumstances()):
        expect_gradient(calc_entropy_bonus, call)
    for call in INPUTS.calls(draw, INPUTS.further_gradient_circumstances()):
        if is_right(calc_entropy_bonus, call, [bonus]):
            expect_gradient(calc_entropy_bonus, call)


@pytest.mark.points(1)
def test_extreme_logits_give_finite_numbers_and_gradients(calc_entropy_bonus, draw):
    logits, *others = INPUTS.call(draw.numbered(-1)).passed()
    ordinary = calc_entropy_bonus(logits.requires_grad_(True), *others)
    for call in INPUTS.calls(draw, [INPUTS.extreme_entries()], each=3):
        logits, *others = call.passed()
        got = calc_entropy_bonus(logits.requires_grad_(True), *others)
        why = "it is not capped, and log_softmax gives it, where softmax and then log does not"
        wanted, subject = call.right(bonus), call.subject("The bonus")
        mended = expect_values(got, wanted, subject, why, call, bonus, rtol=2e-3, atol=2e-2)
        subject = call.subject("The gradient of the bonus")
        expect_gradient_as_elsewhere(mended, ordinary, subject)
        if mended.requires_grad:
            gradient = gradient_at(logits, mended, subject)
            assert bool(torch.isfinite(gradient).all()), f"{subject} is not finite"


@pytest.mark.points(0.5)
def test_entropy_is_largest_for_a_uniform_and_0_for_a_certain_token(calc_entropy_bonus, draw):
    for level in draw.shuffled([0.0, draw.number(1, 9), draw.number(-9, -1)]):
        texts, gen_len, vocab = draw.integer(1, 5), draw.integer(1, 5), draw.integer(12, 90)
        logits = torch.full((texts, gen_len, vocab), level)
        uniform = calc_entropy_bonus(logits.clone(), 1.0, gen_len)
        reason = "it is the logarithm of the vocabulary's size: every token counts, whatever is sampled"
        expect_values(uniform, torch.tensor(math.log(vocab)), "The bonus of tokens that are all as likely", reason)
        likeliest = draw.integer(0, vocab - 1)
        for height, subject in ((60.0, "certain"), (draw.number(11, 12), "nearly certain")):
            logits[:, :, likeliest] = level + height
            got = calc_entropy_bonus(logits.clone(), 1.0, gen_len)
            wanted, reason = entropy(logits.double()).mean(), "the less surprise there is in it, the smaller it is"
            expect_values(got, wanted, f"The bonus of one token that is {subject}", reason, rtol=1e-3)


@pytest.mark.points(1)
def test_every_circumstance_that_training_meets_gives_the_same_bonus(calc_entropy_bonus, draw):
    for call in INPUTS.calls(draw, INPUTS.other_circumstances()):
        expect_bonus(calc_entropy_bonus, call, rtol=1e-3, atol=4e-3 * call.exact["ent_coef"])
    expect_results_stay(calc_entropy_bonus, list(INPUTS.calls(draw, [ORDINARY])), bonus, "The bonus")


@pytest.mark.points(0.5)
def test_ent_coef_scales_the_bonus(calc_entropy_bonus, draw):
    for number, ent_coef in enumerate(draw.shuffled([0.0, draw.number(0.0005, 0.002), draw.number(8, 30)])):
        call = INPUTS.call(draw.numbered(number))
        logits, _, gen_len = call.passed()
        wanted = bonus(**{**call.exact, "ent_coef": ent_coef})
        got = calc_entropy_bonus(logits, ent_coef, gen_len)
        expect_values(
            got, wanted, "The bonus with another coefficient", "it is `ent_coef` times the mean entropy", atol=1e-6
        )


@pytest.mark.points(0.5)
def test_the_bonus_is_one_number_of_the_logits_dtype_and_the_logits_stay_as_they_were(calc_entropy_bonus, draw):
    expect_bonus(calc_entropy_bonus, INPUTS.call(draw.numbered(0)))
    without = INPUTS.call(draw.numbered(-1), DOUBLE).with_arguments("for ent_coef = 0 and float64 logits", ent_coef=0.0)
    for call in (*INPUTS.calls(draw, INPUTS.all_circumstances()), without):
        passed = call.passed()
        got = calc_entropy_bonus(*passed)
        expect_form(got, torch.tensor(0.0), call.subject("The bonus"), call.circumstance.dtype)
        expect_unchanged(call, passed)
    expect_bonus(calc_entropy_bonus, INPUTS.call(draw.numbered(-2), BEYOND_FLOAT32))
