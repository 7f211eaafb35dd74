"""Hidden tests of `grpo_clip_loss`."""

from dataclasses import replace

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
)
from rlhf_course.grading.judge.compare import (
    DOUBLE_PRECISION,
    expect_form,
    expect_results_stay,
    expect_unchanged,
    expect_values,
    gradient_at,
    is_right,
)

WHY = "it is minus the smaller of ratio * A and clip(ratio, 1 - clip_low, 1 + clip_high) * A, token by token"
INPUTS = Inputs(
    sizes={"texts": (2, 6), "gen": (2, 9)},
    arguments={
        "logprobs": Floats(("texts", "gen"), scale=0.4, mean=-2.0),
        "old_logprobs": Floats(("texts", "gen"), scale=0.4, mean=-2.0),
        "advantages": Floats(("texts", "gen")),
        "clip_low": Number(0.1, 0.3),
        "clip_high": Number(0.35, 0.6),
    },
    words={"texts": "one text", "gen": "completions of one token"},
)
MANY = INPUTS.many()


def clip_loss(logprobs, old_logprobs, advantages, clip_low, clip_high):
    """Return the losses: the sign of the advantage says which of the two bounds holds."""
    ratio = (logprobs - old_logprobs).exp()
    above, below = advantages.clamp(min=0), advantages.clamp(max=0)
    return -above * ratio.clamp(max=1 + clip_high) - below * ratio.clamp(min=1 - clip_low)


def clip_loss_gradient(logprobs, old_logprobs, advantages, clip_low, clip_high):
    """Return the derivative of each loss at its log-probability: minus ratio * A, and 0 beyond the bound that holds."""
    ratio = (logprobs - old_logprobs).exp()
    beyond = torch.where(advantages > 0, ratio > 1 + clip_high, ratio < 1 - clip_low)
    return torch.where(beyond, torch.zeros_like(ratio), -ratio * advantages)


def apart(call):
    """Return a call in which no ratio is so near to a bound that rounding could decide, and no advantage near 0."""
    low, high = call.exact["clip_low"], call.exact["clip_high"]
    old, advantages = call.exact["old_logprobs"], call.exact["advantages"]
    gap = call.exact["logprobs"] - old
    for bound in (1 - low, 1 + high):
        if bound > 0:
            middle = torch.tensor(bound, dtype=torch.float64).log()
            gap = torch.where((gap - middle).abs() < 0.01, middle + 0.05, gap)
    advantages = torch.where(advantages.abs() < 0.02, advantages + 0.1, advantages)
    dtype = call.circumstance.dtype
    return call.with_arguments(logprobs=(old + gap).to(dtype), advantages=advantages.to(dtype))


def expect_losses(grpo_clip_loss, call, got=None, **tolerance):
    """Require the right losses in one call, and return them mended."""
    got = grpo_clip_loss(*call.passed()) if got is None else got
    return expect_values(got, call.right(clip_loss), call.subject("The loss"), WHY, call, clip_loss, **tolerance)


def expect_gradient(grpo_clip_loss, call, draw):
    """Require the right gradient of a weighted sum of the losses in one call."""
    passed = call.passed()
    if passed[0].is_leaf:
        passed[0].requires_grad_(True)
    losses = expect_losses(grpo_clip_loss, call, grpo_clip_loss(*passed))
    assert losses.requires_grad, "No gradient of the loss reaches the log-probabilities, so nothing can be learnt"
    weights = draw.normal(*losses.shape).double() + 3
    subject = call.subject("The gradient of the loss")
    gradient = gradient_at(passed[0], (losses * weights).sum(), subject)
    wanted = call.right(clip_loss_gradient) * weights
    why = "it is minus ratio * A, and 0 beyond the bound that holds"
    expect_values(gradient, wanted, subject, why, call, rtol=1e-3, atol=1e-4)


@pytest.mark.points(2)
def test_the_losses_are_those_of_each_token(grpo_clip_loss, draw):
    long = Circumstance("for long completions", sizes={"texts": 3, "gen": 70})
    for call in INPUTS.calls(draw, [ORDINARY, *INPUTS.size_circumstances(), MANY, long]):
        expect_losses(grpo_clip_loss, call)


@pytest.mark.points(1)
def test_each_bound_is_that_of_its_argument(grpo_clip_loss, draw):
    bounds = [(0.0, draw.number(0.3, 0.5)), (draw.number(0.3, 0.5), 0.0), (1.0, draw.number(2, 4)), (0.0, 0.0)]
    for number, (low, high) in enumerate(draw.shuffled(bounds)):
        call = INPUTS.call(draw.numbered(number), Circumstance(sizes={"texts": 6, "gen": 8}))
        wide = 3 * (call.exact["logprobs"] - call.exact["old_logprobs"]) + call.exact["old_logprobs"]
        arguments = {"logprobs": wide.float(), "clip_low": low, "clip_high": high}
        expect_losses(grpo_clip_loss, call.with_arguments("with other bounds", **arguments))


@pytest.mark.points(1.5)
def test_gradients_reach_the_log_probabilities(grpo_clip_loss, draw):
    several = Circumstance(sizes={"texts": 30, "gen": 6})
    for number, call in enumerate(INPUTS.calls(draw, [*INPUTS.size_circumstances(), several]), 1):
        expect_gradient(grpo_clip_loss, apart(call), draw.numbered(-number))
    # At the first step on a rollout every ratio is 1: without a gradient there, nothing is learnt.
    call = INPUTS.call(draw.numbered(0), Circumstance(sizes={"texts": 4, "gen": 5}))
    same = call.with_arguments("where the policy is the old one", old_logprobs=call.exact["logprobs"].float())
    expect_gradient(grpo_clip_loss, same, draw.numbered(-50))
    for number, call in enumerate(INPUTS.calls(draw, INPUTS.further_gradient_circumstances()), 101):
        call = apart(call)
        if is_right(grpo_clip_loss, call, [clip_loss]):
            expect_gradient(grpo_clip_loss, call, draw.numbered(-number))


@pytest.mark.points(1)
def test_no_gradient_reaches_the_old_log_probabilities_and_the_advantages(grpo_clip_loss, draw):
    for call in INPUTS.calls(draw, [replace(ORDINARY, requires_grad=True), replace(ORDINARY, requires_grad=True)]):
        passed = call.passed()
        losses = expect_losses(grpo_clip_loss, call, grpo_clip_loss(*passed))
        if not losses.requires_grad:
            alone = replace(call, circumstance=ORDINARY).passed()
            alone[0].requires_grad_(True)
            has_gradient = expect_losses(grpo_clip_loss, call, grpo_clip_loss(*alone)).requires_grad
            assert not has_gradient, (
                "No gradient of the loss reaches the log-probabilities where all require a gradient"
            )
            continue
        for name, constant in zip(("old_logprobs", "advantages"), passed[1:3], strict=True):
            if not constant.requires_grad:  # Another test requires that it does.
                continue
            (gradient,) = torch.autograd.grad(losses.sum(), constant, allow_unused=True, retain_graph=True)
            is_constant = gradient is None or not bool(gradient.any())
            assert is_constant, f"A gradient of the loss reaches `{name}`, which are constants: detach them"


@pytest.mark.points(1)
def test_ratios_far_from_1_give_their_losses(grpo_clip_loss, draw):
    for number in range(3):
        own = draw.numbered(number)
        call = INPUTS.call(own, Circumstance("for ratios far from 1", sizes={"texts": 5, "gen": 6}))
        old = call.exact["old_logprobs"] - own.choice((0, 150, 10_000))
        gap = 9 * (call.exact["logprobs"] - call.exact["old_logprobs"]).clamp(-1, 1)
        arguments = {"old_logprobs": old.float(), "logprobs": (old.float().double() + gap).float()}
        expect_losses(grpo_clip_loss, call.with_arguments(**arguments), rtol=1e-3, atol=1e-3)
    call = INPUTS.call(draw.numbered(-1), Circumstance(sizes={"texts": 5, "gen": 6}))
    shape = call.exact["logprobs"].shape
    # No bound holds for a large ratio and a negative advantage.
    gap = 24 + 12 * draw.normal(*shape).clamp(-1, 1)
    gap[:, ::2] = 0.5 + draw.normal(*shape).clamp(-1, 1)[:, ::2]
    arguments = {"old_logprobs": -2 - gap, "logprobs": torch.full(shape, -2.0)}
    arguments["advantages"] = -0.5 - call.exact["advantages"].float().abs()
    phrase = "for large ratios and negative advantages"
    expect_losses(grpo_clip_loss, call.with_arguments(phrase, **arguments), rtol=1e-3, atol=1e-3)


def expect_losses_beside_nan(grpo_clip_loss, draw):
    """Require the right losses at real tokens where NaN stands at padding, whose losses may be anything."""
    call = INPUTS.call(draw, Circumstance("at real tokens, where NaN stands at padding", sizes={"texts": 5, "gen": 6}))
    is_padding = draw.integers(0, 2, *call.exact["advantages"].shape) == 0
    is_padding[0, 0], is_padding[1, 1] = True, False
    names = ("logprobs", "old_logprobs", "advantages")
    filled = {name: call.exact[name].masked_fill(is_padding, torch.nan).float() for name in names}
    call = call.with_arguments(**filled)
    got, wanted = grpo_clip_loss(*call.passed()), call.right(clip_loss)
    if isinstance(got, torch.Tensor) and got.shape == wanted.shape:
        got = got.masked_fill(is_padding, 0)
    expect_values(got, wanted.masked_fill(is_padding, 0), call.subject("The loss"), WHY)


@pytest.mark.points(0.75)
def test_every_circumstance_that_training_meets_gives_the_same_losses(grpo_clip_loss, draw):
    for call in INPUTS.calls(draw, INPUTS.other_circumstances()):
        expect_losses(grpo_clip_loss, call)
    expect_losses_beside_nan(grpo_clip_loss, draw.numbered(-1))
    expect_results_stay(grpo_clip_loss, list(INPUTS.calls(draw, [ORDINARY])), clip_loss, "The loss")


@pytest.mark.points(0.75)
def test_the_result_has_one_loss_a_token_in_the_inputs_dtype_and_the_inputs_stay_as_they_were(grpo_clip_loss, draw):
    expect_losses(grpo_clip_loss, INPUTS.call(draw.numbered(0)))
    for call in INPUTS.calls(draw, INPUTS.all_circumstances()):
        passed = call.passed()
        got = grpo_clip_loss(*passed)
        expect_form(got, call.right(clip_loss), call.subject("The loss"), call.circumstance.dtype)
        expect_unchanged(call, passed)
    several = {"texts": 4, "gen": 6}
    beyond = INPUTS.call(draw.numbered(-1), replace(BEYOND_FLOAT32, sizes=several))
    advantages = beyond.exact["advantages"] - BEYOND_FLOAT32.level
    expect_losses(grpo_clip_loss, beyond.with_arguments(advantages=advantages))
    expect_losses(grpo_clip_loss, INPUTS.call(draw.numbered(-2), replace(DOUBLE, sizes=several)), **DOUBLE_PRECISION)
