"""Hidden tests of `aggregate_loss`."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import (
    BEYOND_FLOAT32,
    DOUBLE,
    MASK_CIRCUMSTANCES,
    ORDINARY,
    Choice,
    Circumstance,
    Floats,
    Inputs,
    Mask,
    Size,
)
from rlhf_course.grading.judge.compare import (
    DOUBLE_PRECISION,
    expect_form,
    expect_results_stay,
    expect_unchanged,
    expect_value_error,
    expect_values,
    gradient_at,
    is_right,
)

MEANS = ("sequence_mean", "token_mean")
WHY = {
    "sequence_mean": "it is the mean over texts of each text's mean over its real tokens",
    "token_mean": "it is the mean over all real tokens of the batch",
    "constant": "it is the sum over all real tokens, divided by the number of texts times max_length",
}
SIZES = {"texts": (2, 6), "gen": (3, 9)}
TENSORS = {"token_loss": Floats(("texts", "gen")), "mask": Mask(("texts", "gen"), "attention")}
WORDS = {"texts": "one text", "gen": "texts of one token"}
OF_MEANS = {kind: Inputs(sizes=SIZES, arguments={**TENSORS, "kind": Choice((kind,))}, words=WORDS) for kind in MEANS}
OF_THE_CONSTANT = Inputs(
    sizes={**SIZES, "longest": (10, 40)},
    arguments={**TENSORS, "kind": Choice(("constant",)), "max_length": Size("longest")},
    words=WORDS,
)
INPUTS = {**OF_MEANS, "constant": OF_THE_CONSTANT}


def aggregated(token_loss, mask, kind, max_length=None):
    """Return the loss of a batch, text by text."""
    texts = [losses[real] for losses, real in zip(token_loss, mask, strict=True)]
    if kind == "sequence_mean":
        return torch.stack([losses.mean() for losses in texts]).mean()
    together = torch.cat(texts)
    return together.mean() if kind == "token_mean" else together.sum() / (max_length * len(texts))


def weights(token_loss, mask, kind, max_length=None):
    """Return the weight of each token, which is the derivative of the result at its loss."""
    real = mask.double()
    if kind == "sequence_mean":
        return real / real.sum(1, keepdim=True) / len(real)
    return real / (real.sum() if kind == "token_mean" else len(real) * max_length)


def calls_of(draw, kind, number, circumstances, **options):
    """Draw calls of a kind; the constant's largest length is large enough for all circumstances of one size."""
    return list(INPUTS[kind].calls(draw.numbered(1000 * (number + 1)), circumstances, **options))


def expect_loss(aggregate_loss, call, got=None, why="", **tolerance):
    """Require the right loss in one call, and return it mended."""
    got = aggregate_loss(*call.passed()) if got is None else got
    kind = call.exact["kind"]
    subject = call.subject(f'The loss of kind "{kind}"')
    return expect_values(got, call.right(aggregated), subject, why or WHY[kind], call, aggregated, **tolerance)


def expect_each(aggregate_loss, draw, kind, number):
    """Require the right loss of a kind for batches of several sizes."""
    inputs = INPUTS[kind]
    many = Circumstance("for many texts", sizes={"texts": 67})
    long = Circumstance("for long texts", sizes={"texts": 5, "gen": 90})
    for call in calls_of(draw, kind, number, [ORDINARY, ORDINARY, *inputs.size_circumstances(), many, long]):
        expect_loss(aggregate_loss, call)
    whole = replace(long, sizes={"texts": 4, "gen": 80}, padding="none")  # With padding, all texts may be short.
    expect_loss(aggregate_loss, inputs.call(draw.numbered(-1), whole))


@pytest.mark.points(1.25)
def test_by_sequence_each_text_weighs_the_same(aggregate_loss, draw):
    expect_each(aggregate_loss, draw, "sequence_mean", 0)


@pytest.mark.points(1.25)
def test_by_token_each_real_token_weighs_the_same(aggregate_loss, draw):
    expect_each(aggregate_loss, draw, "token_mean", 0)


@pytest.mark.points(1.25)
def test_the_constant_is_the_number_of_texts_times_max_length(aggregate_loss, draw):
    expect_each(aggregate_loss, draw, "constant", 0)
    call = INPUTS["constant"].call(draw.numbered(0))
    for longest in (max(call.sizes.values()) + 1, draw.integer(100, 4000)):
        expect_loss(aggregate_loss, call.with_arguments("for another max_length", max_length=longest))


def at_padding(call, value, phrase):
    """Return a call with other losses at padding."""
    losses = torch.where(call.exact["mask"], call.exact["token_loss"], value)
    return call.with_arguments(phrase, token_loss=losses.to(call.circumstance.dtype))


@pytest.mark.points(1)
def test_what_stands_at_padding_counts_for_nothing(aggregate_loss, draw):
    found = [Circumstance(sizes={"texts": 5, "gen": 8}), *MASK_CIRCUMSTANCES]
    for number, (kind, _) in enumerate(INPUTS.items()):
        for call in calls_of(draw, kind, number, found):
            why = "what stands where the mask is False counts for nothing"
            for value, words in ((torch.nan, "NaN"), (torch.inf, "infinite"), (1e30, "very large")):
                other = at_padding(call, value, f"where the losses at padding are {words}")
                expect_loss(aggregate_loss, other, why=why)


def expect_gradient(aggregate_loss, call):
    """Require the right gradient of the loss in one call."""
    passed = call.passed()
    if passed[0].is_leaf:
        passed[0].requires_grad_(True)
    loss = expect_loss(aggregate_loss, call, aggregate_loss(*passed))
    assert loss.requires_grad, "No gradient of the loss reaches the losses of the tokens, so nothing can be learnt"
    subject = call.subject(f'The gradient of the loss of kind "{call.exact["kind"]}"')
    gradient = gradient_at(passed[0], loss, subject)
    expect_values(gradient, call.right(weights), subject, "it is each token's weight, and 0 at padding", call)


@pytest.mark.points(1.25)
def test_gradients_reach_the_real_tokens_alone(aggregate_loss, draw):
    for number, (kind, inputs) in enumerate(INPUTS.items()):
        several = Circumstance(sizes={"texts": 20, "gen": 6})
        for call in calls_of(draw, kind, number, [*inputs.size_circumstances(), several]):
            if call.circumstance.phrase == "" or is_right(aggregate_loss, call, [aggregated]):
                expect_gradient(aggregate_loss, call)
        call = at_padding(inputs.call(draw.numbered(-1 - number)), torch.nan, "where the losses at padding are NaN")
        if is_right(aggregate_loss, call, [aggregated]):
            expect_gradient(aggregate_loss, call)
        for call in calls_of(draw, kind, number + 5, inputs.further_gradient_circumstances()):
            if is_right(aggregate_loss, call, [aggregated]):
                expect_gradient(aggregate_loss, call)


@pytest.mark.points(1)
def test_what_the_contract_refuses_is_a_value_error(aggregate_loss, draw):
    for number, (kind, inputs) in enumerate(INPUTS.items()):
        call = inputs.call(draw.numbered(number), Circumstance(sizes={"texts": 5, "gen": 6}, padding="right"))
        expect_loss(aggregate_loss, call)
        losses, mask, _, *length = call.passed()
        longest = length[0] if length else draw.integer(10, 40)
        for other in (f"{kind}s", draw.choice(("mean", "sum", "none", "")), kind.upper()):
            subject = "A kind that is none of the three"
            expect_value_error(aggregate_loss, [losses, mask, other], subject)
            expect_value_error(aggregate_loss, [losses, mask, other, longest], subject)
        if kind == "constant":
            subject = 'A call of kind "constant" without max_length'
            expect_value_error(aggregate_loss, [losses, mask, kind], subject)
            expect_value_error(aggregate_loss, [losses, mask, kind, None], subject)
        else:
            subject = f'A call of kind "{kind}" with max_length'
            for given in (longest, 1, 0):
                expect_value_error(aggregate_loss, [losses, mask, kind, given], subject)
        empty = mask.clone()
        empty[draw.integer(1, 4)] = False
        subject = "A batch of which a text has no real token"
        expect_value_error(aggregate_loss, [losses, empty, kind, *length], subject)
        expect_value_error(aggregate_loss, [losses, torch.zeros_like(mask), kind, *length], subject)


@pytest.mark.points(0.5)
def test_every_circumstance_that_training_meets_gives_the_same_loss(aggregate_loss, draw):
    for number, (kind, inputs) in enumerate(INPUTS.items()):
        for call in calls_of(draw, kind, number, inputs.other_circumstances()):
            expect_loss(aggregate_loss, call)
        expect_results_stay(aggregate_loss, calls_of(draw, kind, number + 5, [ORDINARY]), aggregated, "The loss")


@pytest.mark.points(0.5)
def test_the_result_is_one_number_in_the_losses_dtype_and_the_inputs_stay_as_they_were(aggregate_loss, draw):
    for number, (kind, inputs) in enumerate(INPUTS.items()):
        expect_loss(aggregate_loss, inputs.call(draw.numbered(number)))
        for call in calls_of(draw, kind, number, inputs.all_circumstances()):
            passed = call.passed()
            got = aggregate_loss(*passed)
            expect_form(got, call.right(aggregated), call.subject("The loss"), call.circumstance.dtype)
            expect_unchanged(call, passed)
        several = {"texts": 4, "gen": 6}
        expect_loss(aggregate_loss, inputs.call(draw.numbered(10 + number), replace(BEYOND_FLOAT32, sizes=several)))
        double = inputs.call(draw.numbered(20 + number), replace(DOUBLE, sizes=several))
        expect_loss(aggregate_loss, double, **DOUBLE_PRECISION)
