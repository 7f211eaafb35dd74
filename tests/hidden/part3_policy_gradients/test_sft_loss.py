"""Hidden tests of `sft_loss`."""

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
    expect_value_error,
    expect_values,
    gradient_at,
    is_right,
)
from rlhf_course.grading.judge.rollouts import drawn_minibatch

WHY = (
    "it is the mean, over all tokens of the batch that the mask names, of minus the log-probability that the logits "
    "one position earlier give"
)


def from_rollout(draw):
    """Draw the policy's logits for some of its own texts, whose completions follow the prompt."""
    batch = drawn_minibatch(draw)
    mask = (torch.arange(batch.tokens.shape[1]) >= batch.prefix_len).repeat(len(batch.tokens), 1)
    return {"logits": batch.logits, "input_ids": batch.tokens, "loss_mask": mask}


INPUTS = Inputs(
    sizes={"texts": (2, 6), "seq": (3, 10), "vocab": (3, 9)},
    arguments={
        "logits": Floats(("texts", "seq", "vocab"), scale=1.5),
        "input_ids": Tokens(("texts", "seq")),
        "loss_mask": Mask(("texts", "seq"), "completion"),
    },
    words={"texts": "one text"},
    vocabulary="vocab",
    extreme=10_000,
    rollout=from_rollout,
)
TWO_TOKENS = Circumstance("for texts of two tokens", sizes={"seq": 2})
MANY = Circumstance("for many texts", sizes={"texts": 32, "seq": 7, "vocab": 11})
LONG = Circumstance("for many long texts", sizes={"texts": 17, "seq": 70})
UNPADDED = replace(MASK_CIRCUMSTANCES[2], prompts=False)
# A loss that is rounded to four decimals is refused, except where many float32 numbers are added up.
EXACT, ROUNDED = {"rtol": 5e-6, "atol": 1e-6}, {"rtol": 1e-3, "atol": 1e-3}


def loss(logits, input_ids, loss_mask):
    """Return the loss, token by token."""
    parts = [
        logits[text, position - 1].logsumexp(0) - logits[text, position - 1, input_ids[text, position]]
        for text, position in loss_mask.nonzero().tolist()
        if position > 0
    ]
    return sum(parts, torch.zeros((), dtype=torch.float64)) / len(parts)


def loss_gradient(logits, input_ids, loss_mask):
    """Return the gradient of the loss with respect to the logits, derived by hand."""
    gradient = torch.zeros_like(logits)
    targets = loss_mask[:, 1:].nonzero().tolist()
    for text, position in targets:
        gradient[text, position] = logits[text, position].softmax(0) / len(targets)
        gradient[text, position, input_ids[text, position + 1]] -= 1 / len(targets)
    return gradient


def predicts_nothing(mask):
    """Return at which positions the logits predict no target."""
    return ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)


def with_targets(call):
    """Return the call with a target in each text, where the drawn mask names at most its token at position 0."""
    mask = call.exact["loss_mask"].clone()
    mask[:, 1] |= ~mask[:, 1:].any(1)
    return call.with_arguments(loss_mask=mask)


def drawn(draw, circumstances, **options):
    """Draw calls in which each text has a target."""
    return [with_targets(call) for call in INPUTS.calls(draw, circumstances, **options)]


def expect_loss(sft_loss, call, why=WHY, **tolerance):
    """Require the right loss in one call, and return it with the logits that were passed."""
    logits, *others = call.passed()
    got = sft_loss(logits, *others)
    return logits, expect_values(got, call.right(loss), call.subject("The loss"), why, call, loss, **tolerance)


def with_one_target(draw, call):
    """Return the call with a single target in each text."""
    mask = torch.zeros_like(call.exact["loss_mask"])
    mask[:, draw.integer(1, mask.shape[1] - 1)] = True
    return call.with_arguments("for a single target", loss_mask=mask)


@pytest.mark.points(2)
def test_the_loss_is_the_mean_over_all_targets_of_the_batch(sft_loss, draw):
    for call in drawn(draw, [*INPUTS.size_circumstances(), TWO_TOKENS], each=3):
        expect_loss(sft_loss, call, **EXACT)
    for number in range(-3, 0):
        one_text = INPUTS.call(draw.numbered(number), INPUTS.size_circumstances()[1])
        expect_loss(sft_loss, with_one_target(draw, one_text), **EXACT)
    for number, circumstance in enumerate((MANY, LONG, LONG), 101):
        expect_loss(sft_loss, with_targets(INPUTS.call(draw.numbered(number), circumstance)), **ROUNDED)


def with_repeated_ids(draw, call):
    """Return the call with ids of which half are the vocabulary's first or last one."""
    ids = call.exact["input_ids"]
    special = draw.choice((0, call.sizes["vocab"] - 1))
    ids = torch.where(draw.integers(0, 1, *ids.shape) == 0, special, ids)
    return call.with_arguments("for texts with repeated ids", input_ids=ids)


def without_some_targets(draw, call):
    """Return the call with texts of which some have no target; masks of some of these are True at position 0."""
    mask = call.exact["loss_mask"].clone()
    texts = len(mask)
    chosen = draw.sample(range(texts), draw.integer(1, texts - 1))
    mask[chosen] = False
    mask[draw.sample(chosen, draw.integer(0, len(chosen))), 0] = True
    others = [text for text in range(texts) if text not in chosen]
    mask[others, 1] |= ~mask[others, 1:].any(1)
    return call.with_arguments("for texts of which some have no target", loss_mask=mask)


def with_gaps(draw, call):
    """Return the call with targets that do not stand together, as where the texts are dialogues."""
    shape = call.exact["loss_mask"].shape
    mask = draw.integers(0, 1, *shape).bool()
    return with_targets(call.with_arguments("for targets that do not stand together", loss_mask=mask))


@pytest.mark.points(1.5)
def test_only_the_mask_says_which_tokens_are_targets(sft_loss, draw):
    for call in drawn(draw, [*MASK_CIRCUMSTANCES, COMPLETION_CIRCUMSTANCES[1]], each=2):
        expect_loss(sft_loss, call)
        expect_loss(sft_loss, with_repeated_ids(draw, call))
        expect_loss(sft_loss, without_some_targets(draw, call))
        expect_loss(sft_loss, with_gaps(draw, call))


@pytest.mark.points(0.5)
def test_logits_that_predict_no_target_may_be_nan(sft_loss, draw):
    for call in drawn(draw, [ORDINARY, *MASK_CIRCUMSTANCES]):
        logits = call.exact["logits"].float()
        logits[predicts_nothing(call.exact["loss_mask"])] = torch.nan
        phrase = "where logits are NaN that predict no target"
        expect_loss(sft_loss, call.with_arguments(phrase, logits=logits), "they count for nothing")


def expect_gradient(sft_loss, call):
    """Require the right gradient in one call."""
    logits, mended = expect_loss(sft_loss, call, **ROUNDED)
    assert mended.requires_grad, "No gradient of the loss reaches the logits, so nothing can be learnt"
    subject = call.subject("The gradient of the loss")
    gradient = gradient_at(logits, mended, subject)
    elsewhere = gradient[predicts_nothing(call.exact["loss_mask"])]
    assert not bool(elsewhere.any()), f"{subject} should be zero at logits that predict no target"
    why = "it is that of log_softmax at the positions that predict a target, divided by the number of targets"
    expect_values(gradient, call.right(loss_gradient), subject, why, call, rtol=1e-3, atol=1e-5)


@pytest.mark.points(1.5)
def test_gradients_flow_to_the_logits_that_predict_a_target_and_to_no_others(sft_loss, draw):
    found = [*INPUTS.gradient_circumstances(), *MASK_CIRCUMSTANCES]
    circumstances = [replace(circumstance, requires_grad=True) for circumstance in found]
    for call in drawn(draw, circumstances, again=0):
        expect_gradient(sft_loss, call)
    fewer_targets = without_some_targets(draw, INPUTS.call(draw.numbered(-1), replace(ORDINARY, requires_grad=True)))
    further = [replace(circumstance, requires_grad=True) for circumstance in INPUTS.further_gradient_circumstances()]
    for call in [*drawn(draw, further, again=0), fewer_targets]:
        if is_right(sft_loss, call, [loss], **ROUNDED):
            expect_gradient(sft_loss, call)


def at_different_levels(draw, call):
    """Return the call with logits to which another number is added at each position, which changes no probability."""
    logits = call.exact["logits"].float()
    levels = 2_000.0 * draw.integers(-5, 5, *logits.shape[:2], 1)
    return call.with_arguments("for logits at very different levels", logits=logits + levels)


@pytest.mark.points(0.5)
def test_extreme_logits_give_finite_numbers_and_gradients(sft_loss, draw):
    sizes = {"texts": 4, "seq": 6}
    ordinary = INPUTS.call(draw.numbered(-1), replace(UNPADDED, sizes=sizes, requires_grad=True))
    _, with_gradient = expect_loss(sft_loss, ordinary)
    extreme = drawn(draw, [replace(INPUTS.extreme_entries(), requires_grad=True)], each=3)
    for call in [*extreme, at_different_levels(draw, with_targets(ordinary))]:
        why = "it is not capped, and log_softmax gives it, where softmax and then log does not"
        logits, mended = expect_loss(sft_loss, call, why, rtol=2e-3, atol=5e-2)
        subject = call.subject("The gradient of the loss")
        expect_gradient_as_elsewhere(mended, with_gradient, subject)
        if mended.requires_grad:
            is_finite = bool(torch.isfinite(gradient_at(logits, mended, subject)).all())
            assert is_finite, f"{subject} is not finite"


@pytest.mark.points(0.5)
def test_a_batch_without_a_target_is_a_value_error(sft_loss, draw):
    for call in drawn(draw, [ORDINARY, ORDINARY]):
        expect_loss(sft_loss, call)
        logits, input_ids, mask = call.passed()
        nothing = torch.zeros_like(mask)
        expect_value_error(sft_loss, [logits.clone(), input_ids.clone(), nothing.clone()], "A mask without True")
        first = nothing.clone()
        first[draw.sample(range(len(mask)), draw.integer(1, len(mask))), 0] = True
        subject = "A mask that is True at position 0 alone, whose token nothing predicts,"
        expect_value_error(sft_loss, [logits.clone(), input_ids.clone(), first], subject)
        texts = [logits[:, :1].clone(), input_ids[:, :1].clone(), torch.ones_like(mask[:, :1])]
        expect_value_error(sft_loss, texts, "A batch of texts of one token, which nothing predicts,")


@pytest.mark.points(1)
def test_every_circumstance_that_training_meets_gives_the_same_loss(sft_loss, draw):
    covered = {circumstance.phrase for circumstance in (*MASK_CIRCUMSTANCES, *COMPLETION_CIRCUMSTANCES)}
    found = [circumstance for circumstance in INPUTS.other_circumstances() if circumstance.phrase not in covered]
    for call in drawn(draw, found):
        expect_loss(sft_loss, call, **ROUNDED)
    expect_results_stay(sft_loss, drawn(draw, [ORDINARY]), loss, "The loss")


@pytest.mark.points(0.5)
def test_the_loss_is_one_number_in_the_logits_dtype_and_the_inputs_stay_as_they_were(sft_loss, draw):
    expect_loss(sft_loss, with_targets(INPUTS.call(draw.numbered(0))))
    covered = COMPLETION_CIRCUMSTANCES[0].phrase
    found = [
        circumstance
        for circumstance in (*INPUTS.all_circumstances(), UNPADDED)
        if not circumstance.sizes.get("vocab") and not circumstance.rollout and circumstance.phrase != covered
    ]
    for call in drawn(draw, found):
        passed = call.passed()
        got = sft_loss(*passed)
        expect_form(got, torch.tensor(0.0), call.subject("The loss"), call.circumstance.dtype)
        expect_unchanged(call, passed)
    sizes = {"texts": 5, "seq": 6}
    expect_loss(sft_loss, with_targets(INPUTS.call(draw.numbered(-1), replace(BEYOND_FLOAT32, sizes=sizes))))
    double = with_targets(INPUTS.call(draw.numbered(-2), replace(DOUBLE, sizes=sizes)))
    expect_loss(sft_loss, double, **DOUBLE_PRECISION)
