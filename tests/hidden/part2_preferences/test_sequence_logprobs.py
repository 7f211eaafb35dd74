"""Hidden tests of `sequence_logprobs`."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import (
    BEYOND_FLOAT32,
    COMPLETION_CIRCUMSTANCES,
    DOUBLE,
    MASK_CIRCUMSTANCES,
    ORDINARY,
    Circumstance,
    Floats,
    Inputs,
    Mask,
    Tokens,
)
from rlhf_course.grading.judge.compare import (
    DOUBLE_PRECISION,
    expect_form,
    expect_gradient_as_elsewhere,
    expect_results_stay,
    expect_unchanged,
    expect_values,
    gradient_at,
    is_right,
)
from rlhf_course.grading.judge.rollouts import drawn_minibatch

UNPADDED = replace(MASK_CIRCUMSTANCES[2], prompts=False)
WHY = (
    "it is the sum over the tokens where the mask is True of the log-probability that the logits one position earlier "
    "give"
)


def from_rollout(draw):
    """Draw the policy's logits for some of its own texts, whose completions follow the prompt."""
    batch = drawn_minibatch(draw)
    mask = (torch.arange(batch.tokens.shape[1]) >= batch.prefix_len).repeat(len(batch.tokens), 1)
    return {"logits": batch.logits, "input_ids": batch.tokens, "completion_mask": mask}


INPUTS = Inputs(
    sizes={"texts": (2, 6), "seq": (3, 10), "vocab": (3, 9)},
    arguments={
        "logits": Floats(("texts", "seq", "vocab"), scale=1.5),
        "input_ids": Tokens(("texts", "seq")),
        "completion_mask": Mask(("texts", "seq"), "completion"),
    },
    words={"texts": "one text", "seq": "texts of one token"},
    vocabulary="vocab",
    extreme=10_000,
    rollout=from_rollout,
)
# Sums over a large vocabulary, and of many tokens, are rounded.
ROUNDED = {"rtol": 1e-3, "atol": 2e-3}


def logprobs(logits, input_ids, completion_mask):
    """Return the sums, text by text and token by token."""
    totals = []
    for scores, ids, mask in zip(logits, input_ids, completion_mask, strict=True):
        positions = [position for position in range(1, len(ids)) if mask[position]]
        parts = [scores[position - 1, ids[position]] - scores[position - 1].logsumexp(0) for position in positions]
        totals.append(sum(parts, torch.zeros((), dtype=torch.float64)))
    return torch.stack(totals)


def logprobs_gradient(logits, input_ids, completion_mask, weights):
    """Return the gradient of the weighted sum of the results with respect to the logits, derived by hand."""
    gradient = torch.zeros_like(logits)
    for text, place in completion_mask[:, 1:].nonzero().tolist():
        gradient[text, place] = -weights[text] * logits[text, place].softmax(0)
        gradient[text, place, input_ids[text, place + 1]] += weights[text]
    return gradient


def expect_logprobs(sequence_logprobs, call, why=WHY, **tolerance):
    """Require the right sums in one call, and return them with the logits that were passed."""
    logits, *others = call.passed()
    got = sequence_logprobs(logits, *others)
    wanted = call.right(logprobs)
    subject = call.subject("The log-probability")
    return logits, expect_values(got, wanted, subject, why, call, logprobs, **tolerance)


@pytest.mark.points(2.5)
def test_the_log_probabilities_of_the_completions_tokens_are_summed(sequence_logprobs, draw):
    # The first call has texts of all kinds, from which a message can tell what the wrong ones have in common.
    mixed = Circumstance("for many texts", sizes={"texts": 32, "seq": 7, "vocab": 11})
    expect_logprobs(sequence_logprobs, INPUTS.call(draw.numbered(-1), mixed), **ROUNDED)
    many = Circumstance("for many long texts", sizes={"texts": 17, "seq": 70})
    for call in INPUTS.calls(draw, [ORDINARY, *INPUTS.size_circumstances(), many, many]):
        expect_logprobs(sequence_logprobs, call, **ROUNDED)


@pytest.mark.points(1.5)
def test_only_the_mask_says_which_tokens_count(sequence_logprobs, draw):
    for call in INPUTS.calls(draw, [*MASK_CIRCUMSTANCES, *COMPLETION_CIRCUMSTANCES], each=2):
        expect_logprobs(sequence_logprobs, call)
        ids = call.exact["input_ids"]
        special = draw.choice((0, call.sizes["vocab"] - 1))
        ids = torch.where(draw.integers(0, 1, *ids.shape) == 0, special, ids)
        expect_logprobs(sequence_logprobs, call.with_arguments("for texts with repeated ids", input_ids=ids))
    call = INPUTS.call(draw.numbered(0))
    nothing = torch.zeros_like(call.exact["completion_mask"])
    expect_logprobs(
        sequence_logprobs, call.with_arguments("for texts that all have no completion", completion_mask=nothing)
    )


@pytest.mark.points(1)
def test_logits_that_predict_no_token_of_the_completion_may_be_nan(sequence_logprobs, draw):
    for call in INPUTS.calls(draw, [ORDINARY, *MASK_CIRCUMSTANCES]):
        logits, mask = call.exact["logits"].float(), call.exact["completion_mask"]
        outside = ~mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
        logits[outside] = torch.nan
        phrase = "where logits are NaN that predict no token of the completion"
        expect_logprobs(sequence_logprobs, call.with_arguments(phrase, logits=logits), "they count for nothing")


def expect_gradient(sequence_logprobs, call, draw):
    """Require the right gradient of a weighted sum of the results in one call."""
    logits, mended = expect_logprobs(sequence_logprobs, call, **ROUNDED)
    if not bool(call.exact["completion_mask"][:, 1:].any()):
        return
    assert mended.requires_grad, "No gradient of the log-probability reaches the logits, so nothing can be learnt"
    weights = draw.normal(len(mended)).double()
    subject = call.subject("The gradient of the log-probability")
    gradient = gradient_at(logits, (mended * weights).sum(), subject)
    wanted = logprobs_gradient(**call.exact, weights=weights)
    expect_values(gradient, wanted, subject, "it is that of log_softmax", call, rtol=1e-3, atol=1e-4)


@pytest.mark.points(2)
def test_gradients_flow_to_the_logits(sequence_logprobs, draw):
    found = [*INPUTS.gradient_circumstances(), *MASK_CIRCUMSTANCES]
    circumstances = [replace(circumstance, requires_grad=True) for circumstance in found]
    for number, call in enumerate(INPUTS.calls(draw, circumstances, again=0), 1):
        expect_gradient(sequence_logprobs, call, draw.numbered(-number))
    further = [replace(circumstance, requires_grad=True) for circumstance in INPUTS.further_gradient_circumstances()]
    for number, call in enumerate(INPUTS.calls(draw, further, again=0), 101):
        if is_right(sequence_logprobs, call, [logprobs], **ROUNDED):
            expect_gradient(sequence_logprobs, call, draw.numbered(-number))


@pytest.mark.points(1)
def test_extreme_logits_give_finite_numbers_and_gradients(sequence_logprobs, draw):
    sizes = {"texts": 4, "seq": 6}
    ordinary = INPUTS.call(draw.numbered(-1), replace(UNPADDED, sizes=sizes, requires_grad=True))
    _, with_gradient = expect_logprobs(sequence_logprobs, ordinary)
    for call in INPUTS.calls(draw, [replace(INPUTS.extreme_entries(), requires_grad=True)], each=3):
        why = "it is not capped, and log_softmax gives it, where softmax and then log does not"
        logits, mended = expect_logprobs(sequence_logprobs, call, why, rtol=2e-3, atol=5e-2)
        if not bool(call.exact["completion_mask"][:, 1:].any()):
            continue
        subject = call.subject("The gradient of the log-probability")
        expect_gradient_as_elsewhere(mended, with_gradient, subject)
        if mended.requires_grad:
            is_finite = bool(torch.isfinite(gradient_at(logits, mended.sum(), subject)).all())
            assert is_finite, f"{subject} is not finite"


@pytest.mark.points(1)
def test_every_circumstance_that_training_meets_gives_the_same_log_probabilities(sequence_logprobs, draw):
    covered = {*(circumstance.phrase for circumstance in (*MASK_CIRCUMSTANCES, *COMPLETION_CIRCUMSTANCES))}
    found = [circumstance for circumstance in INPUTS.other_circumstances() if circumstance.phrase not in covered]
    for call in INPUTS.calls(draw, found):
        expect_logprobs(sequence_logprobs, call, **ROUNDED)
    expect_results_stay(sequence_logprobs, list(INPUTS.calls(draw, [ORDINARY])), logprobs, "The log-probability")


@pytest.mark.points(1)
def test_the_result_is_one_number_a_text_in_the_logits_dtype_and_the_inputs_stay_as_they_were(sequence_logprobs, draw):
    expect_logprobs(sequence_logprobs, INPUTS.call(draw.numbered(0)))
    found = [one for one in INPUTS.all_circumstances() if not one.sizes.get("vocab") and not one.rollout]
    for call in INPUTS.calls(draw, found):
        passed = call.passed()
        got = sequence_logprobs(*passed)
        subject = call.subject("The log-probability")
        expect_form(got, call.right(logprobs), subject, call.circumstance.dtype)
        expect_unchanged(call, passed)
    several = replace(DOUBLE, sizes={"texts": 5, "seq": 6}, padding="none")
    beyond = replace(BEYOND_FLOAT32, sizes={"texts": 5, "seq": 6}, padding="none")
    call = INPUTS.call(draw.numbered(-1), beyond)
    mask = call.exact["completion_mask"].clone()
    mask[:, 0] = False
    expect_logprobs(sequence_logprobs, call.with_arguments(completion_mask=mask))
    expect_logprobs(sequence_logprobs, INPUTS.call(draw.numbered(-2), several), **DOUBLE_PRECISION)
