"""Hidden tests of `get_logprobs`."""

from dataclasses import dataclass, field, replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import (
    BEYOND_FLOAT32,
    DOUBLE,
    ORDINARY,
    WITH_GRADIENT,
    WITH_GRAPH,
    Circumstance,
    Floats,
    Inputs,
    Size,
    Tokens,
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
    "logits at position i predict the token at i + 1; the result is the log-probability of that token, for the tokens "
    "after the prefix"
)


def from_rollout(draw):
    """Draw the policy's logits for some of its own texts."""
    batch = drawn_minibatch(draw)
    return {"logits": batch.logits, "tokens": batch.tokens, "prefix_len": batch.prefix_len}


INPUTS = Inputs(
    sizes={"texts": (2, 6), "prefix": (2, 5), "gen_len": (2, 7), "vocab": (3, 9)},
    arguments={
        "logits": Floats(("texts", "prefix + gen_len", "vocab"), scale=1.5),
        "tokens": Tokens(("texts", "prefix + gen_len")),
        "prefix_len": Size("prefix"),
    },
    words={"texts": "one text", "prefix": "a prefix of one token", "gen_len": "one generated token"},
    vocabulary="vocab",
    extreme=10_000,
    rollout=from_rollout,
)
ONE_TEXT, _, ONE_TOKEN = INPUTS.size_circumstances()[1:]
ONE_TOKEN_OF_ONE_TEXT = Circumstance("for one generated token of one text", sizes={"texts": 1, "gen_len": 1})
NONE = Circumstance("where `prefix_len` is None", sizes={"prefix": 1}, requires_grad=True)
LEFT_OUT = Circumstance("where `prefix_len` is left out", sizes={"prefix": 1}, requires_grad=True)


def logprobs(logits, tokens, prefix_len):
    """Return the log-probability of each token after the prefix."""
    scores = logits[:, prefix_len - 1 : -1]
    return torch.take_along_dim(scores, tokens[:, prefix_len:, None], dim=-1)[..., 0] - scores.logsumexp(-1)


def logprobs_gradient(logits, tokens, prefix_len, weights):
    """Return the gradient of the weighted sum of the log-probabilities with respect to the logits, derived by hand."""
    gradient = torch.zeros_like(logits)
    one_hot = torch.nn.functional.one_hot(tokens[:, prefix_len:], logits.shape[-1])
    gradient[:, prefix_len - 1 : -1] = weights[..., None] * (one_hot - logits[:, prefix_len - 1 : -1].softmax(-1))
    return gradient


@dataclass(frozen=True)
class GradientOfWeightedSum:
    """The formula of that gradient, for weights that a draw gives: with the same draw it is the same formula."""

    key: str
    weights: torch.Tensor = field(compare=False)

    def __call__(self, **exact):
        """Return the gradient."""
        return logprobs_gradient(**exact, weights=self.weights)


def called(get_logprobs, call):
    """Return the arguments of a call, and the answer's result; the prefix length is given as the circumstance wants."""
    logits, tokens, prefix_len = call.passed()
    phrase = call.circumstance.phrase
    if phrase.startswith(LEFT_OUT.phrase):
        return logits, get_logprobs(logits, tokens)
    return logits, get_logprobs(logits, tokens, None if phrase.startswith(NONE.phrase) else prefix_len)


# Sums over a large vocabulary are rounded: cross-entropy on transposed logits errs by up to 4e-4 for 50,257 tokens.
OF_A_LARGE_VOCABULARY = {"rtol": 1e-3, "atol": 1e-3}


def expect_logprobs(get_logprobs, call, why=WHY, **tolerance):
    """Require the right log-probabilities in one call, and return them with the logits that were passed."""
    logits, got = called(get_logprobs, call)
    wanted = call.right(logprobs)
    return logits, expect_values(got, wanted, call.subject("The log-probability"), why, call, logprobs, **tolerance)


@pytest.mark.points(1.5)
def test_each_token_after_the_prefix_gets_the_log_probability_it_was_given(get_logprobs, draw):
    long_prefix = Circumstance("for a long prefix", sizes={"prefix": draw.integer(16, 40)})
    for call in INPUTS.calls(draw, [ORDINARY, ORDINARY, long_prefix]):
        expect_logprobs(get_logprobs, call)


@pytest.mark.points(1)
def test_no_prefix_length_means_one(get_logprobs, draw):
    for call in INPUTS.calls(draw, [NONE, LEFT_OUT], each=2, again=0):
        _, mended = expect_logprobs(get_logprobs, call, "the result holds all tokens but the first")
        given = get_logprobs(*call.passed())
        assert mended.requires_grad == getattr(given, "requires_grad", False), (
            f"{call.subject('The log-probability')} differs from that for a prefix of one in whether a gradient flows"
        )


def expect_gradient(get_logprobs, call, draw):
    """Require the right gradient of a weighted sum of the results in one call."""
    logits, mended = expect_logprobs(get_logprobs, call, **OF_A_LARGE_VOCABULARY)
    assert mended.requires_grad, (
        "No gradient of the log-probabilities reaches the logits, so the policy cannot learn from them"
    )
    weights = draw.normal(*mended.shape).double()
    subject = call.subject("The gradient of the log-probabilities")
    gradient = gradient_at(logits, (mended * weights).sum(), subject)
    wanted = call.right(GradientOfWeightedSum(draw.key, weights))
    why = "it is that of log_softmax at the tokens that followed"
    expect_values(gradient, wanted, subject, why, call, rtol=1e-3, atol=1e-4)


@pytest.mark.points(1.5)
def test_gradients_flow_to_the_logits(get_logprobs, draw):
    compared = [*INPUTS.gradient_circumstances(), ONE_TEXT, ONE_TOKEN]
    circumstances = [WITH_GRADIENT, *(replace(circumstance, requires_grad=True) for circumstance in compared)]
    for number, call in enumerate(INPUTS.calls(draw, circumstances, again=0), 1):
        expect_gradient(get_logprobs, call, draw.numbered(-number))
    further = [replace(circumstance, requires_grad=True) for circumstance in INPUTS.further_gradient_circumstances()]
    for number, call in enumerate(INPUTS.calls(draw, further, again=0), 101):
        if is_right(get_logprobs, call, [logprobs], **OF_A_LARGE_VOCABULARY):
            expect_gradient(get_logprobs, call, draw.numbered(-number))


def with_certain_tokens(call):
    """Return the call with logits that leave no doubt which token follows: its log-probability is 0."""
    heights = 300.0 * torch.nn.functional.one_hot(call.exact["tokens"].roll(-1, 1), call.exact["logits"].shape[-1])
    return call.with_arguments("for tokens that are certain", logits=heights.float())


@pytest.mark.points(1)
def test_extreme_logits_give_finite_numbers_and_gradients(get_logprobs, draw):
    _, ordinary = expect_logprobs(get_logprobs, INPUTS.call(draw.numbered(-1), WITH_GRADIENT))
    extreme = INPUTS.calls(draw, [replace(INPUTS.extreme_entries(), requires_grad=True)], each=3)
    for call in [*extreme, with_certain_tokens(INPUTS.call(draw.numbered(-2), WITH_GRADIENT))]:
        why = "it is not capped, and log_softmax gives it, where softmax and then log does not"
        logits, mended = expect_logprobs(get_logprobs, call, why, rtol=2e-3, atol=5e-3)
        subject = call.subject("The gradient of the log-probabilities")
        expect_gradient_as_elsewhere(mended, ordinary, subject)
        if mended.requires_grad:
            gradient = gradient_at(logits, mended.sum(), subject)
            assert bool(torch.isfinite(gradient).all()), f"{subject} is not finite"


@pytest.mark.points(0.5)
def test_one_text_one_generated_token_and_a_prefix_of_one_are_no_special_cases(get_logprobs, draw):
    for call in INPUTS.calls(draw, [*INPUTS.size_circumstances()[1:], ONE_TOKEN_OF_ONE_TEXT]):
        expect_logprobs(get_logprobs, call)


@pytest.mark.points(0.75)
def test_every_circumstance_that_training_meets_gives_the_same_log_probabilities(get_logprobs, draw):
    for call in INPUTS.calls(draw, INPUTS.other_circumstances()):
        expect_logprobs(get_logprobs, call, **OF_A_LARGE_VOCABULARY)
    expect_results_stay(get_logprobs, list(INPUTS.calls(draw, [ORDINARY])), logprobs, "The log-probability")


def sampled(draw, call):
    """Return the call with tokens of which most are the likeliest, and some unlikely, special or repeated."""
    logits, tokens = call.exact["logits"], call.exact["tokens"]
    texts, seq, vocabulary = logits.shape
    prefix_len = call.exact["prefix_len"]
    tokens = torch.where(draw.integers(0, 9, texts, seq) < 6, logits.argmax(-1).roll(1, 1), tokens)
    tokens[:, 0] = vocabulary - 1  # GPT-2's last token is the end of a text, which stands before each prompt.
    first, second, third, fourth = draw.distinct_integers(prefix_len, seq - 1, 4)
    text = draw.integer(0, texts - 1)
    tokens[text, first], tokens[text, second] = vocabulary - 1, 0
    tokens[text, third] = tokens[text, third - 1]
    tokens[text, fourth] = draw.integer(0, vocabulary - 1)
    return call.with_arguments(tokens=tokens)


@pytest.mark.points(0.75)
def test_logits_of_a_language_model_and_sampled_tokens_give_the_right_log_probabilities(get_logprobs, draw):
    peaked = [
        replace(circumstance, sizes={**circumstance.sizes, "gen_len": draw.integer(4, 7)})
        for circumstance in INPUTS.peaked_rows()
    ]
    sizes = {"texts": draw.integer(65, 130), "gen_len": draw.integer(36, 60)}
    many = Circumstance("for a batch of many long texts", sizes=sizes)
    for call in INPUTS.calls(draw, [*peaked, many]):
        call = sampled(draw, call)
        expect_logprobs(get_logprobs, call, **OF_A_LARGE_VOCABULARY)
    call = INPUTS.call(draw, ORDINARY)
    logits, tokens = call.exact["logits"], call.exact["tokens"]
    equal_tokens = call.with_arguments("for texts of equal tokens", tokens=tokens[:1].expand_as(tokens).clone())
    equal_logits = call.with_arguments("for logits that are all equal", logits=torch.full(logits.shape, 0.5))
    for call in draw.shuffled([equal_tokens, equal_logits]):
        expect_logprobs(get_logprobs, call)


@pytest.mark.points(0.5)
def test_logits_and_tokens_are_left_as_they_were(get_logprobs, draw):
    expect_logprobs(get_logprobs, INPUTS.call(draw.numbered(0)))
    for call in INPUTS.calls(draw, [ORDINARY, WITH_GRADIENT, WITH_GRAPH, ONE_TEXT, ONE_TOKEN]):
        passed = call.passed()
        get_logprobs(*passed)
        expect_unchanged(call, passed)


@pytest.mark.points(0.5)
def test_the_result_has_one_row_a_text_and_one_column_a_generated_token_in_the_logits_dtype(get_logprobs, draw):
    expect_logprobs(get_logprobs, INPUTS.call(draw.numbered(0)))
    for call in INPUTS.calls(draw, [ORDINARY, DOUBLE, ONE_TEXT, ONE_TOKEN, ONE_TOKEN_OF_ONE_TEXT]):
        got = get_logprobs(*call.passed())
        wanted = call.right(logprobs)
        expect_form(got, wanted, call.subject("The log-probability"), call.circumstance.dtype)
    expect_logprobs(get_logprobs, INPUTS.call(draw.numbered(-1), BEYOND_FLOAT32))
