"""Hidden tests of `get_logprobs`.

Tests of one circumstance, such as extreme logits, use a prefix of one token. So an answer that is wrong in another way
does not fail them for that.
"""

import pytest
import torch

from rlhf_course.checks.core import integers, normal, round_to_quarters
from rlhf_course.grading.judge.expect import expect, expect_floats

WHY = (
    "logits at position i predict the token at i + 1; the result is the log-probability of that token, for the tokens "
    "after the prefix"
)


def expected_logprobs(logits, tokens, prefix_len=1):
    """Return the log-probability of each token, computed one entry at a time."""
    logprobs = logits.detach().double().log_softmax(-1)
    texts, seq = tokens.shape
    rows = [
        [logprobs[text, position - 1, tokens[text, position]] for position in range(prefix_len, seq)]
        for text in range(texts)
    ]
    return torch.stack([torch.stack(row) for row in rows])


def random_inputs(texts, seq, vocab, seed):
    """Return logits and tokens."""
    return normal(texts, seq, vocab, seed=seed), integers(0, vocab, texts, seq, seed=seed + 1)


@pytest.mark.points(2)
def test_each_token_after_the_prefix_gets_the_log_probability_it_was_given(get_logprobs):
    for index, (texts, seq, vocab, prefix_len) in enumerate([(3, 9, 7, 4), (5, 7, 11, 2), (2, 13, 6, 8)]):
        logits, tokens = random_inputs(texts, seq, vocab, seed=710 + 2 * index)
        got = get_logprobs(logits.clone(), tokens.clone(), prefix_len)
        expect(
            got,
            expected_logprobs(logits, tokens, prefix_len),
            "The log-probability of the tokens after the prefix",
            WHY,
        )

    logits, vocab = normal(1, 4, 7, seed=717), 7
    sequences = integers(0, vocab, 1, 4, seed=718).repeat(vocab, 1)
    sequences[:, 3] = torch.arange(vocab)
    got = get_logprobs(logits.expand(vocab, -1, -1).clone(), sequences, 2)
    total = expect_floats(got, 2, "The log-probability of every token in turn")[:, -1].exp().sum(0)
    expect(
        total,
        torch.tensor(1.0),
        "The sum of the probabilities of all tokens",
        "they are those of one distribution, over the vocabulary",
    )


@pytest.mark.points(1.5)
def test_no_prefix_length_means_one(get_logprobs):
    logits, tokens = random_inputs(3, 6, 7, seed=720)
    for arguments in ((), (None,)):
        got = get_logprobs(logits.clone(), tokens.clone(), *arguments)
        expect(
            got,
            expected_logprobs(logits, tokens),
            "The log-probability of the tokens where prefix_len is None",
            "the result holds all tokens but the first",
        )


@pytest.mark.points(1.5)
def test_gradients_flow_to_the_logits(get_logprobs):
    logits, tokens = random_inputs(4, 5, 7, seed=730)
    leaf, weights = logits.clone().requires_grad_(True), normal(4, 4, seed=732)
    got = get_logprobs(leaf, tokens.clone(), 1)
    expect(got, expected_logprobs(logits, tokens), "The log-probability of the tokens after the first", WHY)
    assert got.requires_grad, (
        "No gradient of the log-probabilities reaches the logits, so the policy cannot learn from them"
    )
    (gradient,) = torch.autograd.grad((got * weights).sum(), leaf)
    double_logits = logits.double().requires_grad_(True)
    wanted = (double_logits.log_softmax(-1)[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0] * weights).sum()
    expect(
        gradient,
        torch.autograd.grad(wanted, double_logits)[0],
        "The gradient of the log-probabilities",
        "it is that of log_softmax at the tokens that followed",
    )


@pytest.mark.points(1)
def test_extreme_logits_give_finite_numbers_and_gradients(get_logprobs):
    logits, tokens = random_inputs(3, 6, 5, seed=740)
    logits = logits.sign() * 1e4 + round_to_quarters(logits)
    leaf = logits.clone().requires_grad_(True)
    got = get_logprobs(leaf, tokens.clone(), 1)
    expect(
        got,
        expected_logprobs(logits, tokens),
        "The log-probability under logits near 10000 and -10000",
        "use log_softmax, never softmax and then log",
        rtol=2e-3,
        atol=5e-3,
    )
    if got.requires_grad:
        (gradient,) = torch.autograd.grad(got.sum(), leaf)
        assert bool(torch.isfinite(gradient).all()), "The gradient at logits near 10000 and -10000 is not finite"


@pytest.mark.points(1)
def test_one_text_and_one_generated_token_keep_their_dimensions(get_logprobs):
    for texts, seq, subject in ((1, 6, "one text"), (3, 2, "one generated token"), (1, 2, "one token of one text")):
        logits, tokens = random_inputs(texts, seq, 7, seed=750 + seq + texts)
        got = get_logprobs(logits.clone(), tokens.clone(), 1)
        expect(
            got,
            expected_logprobs(logits, tokens),
            f"The log-probability of {subject}",
            "the result has shape [batch, seq - prefix_len], whatever the sizes",
        )


@pytest.mark.points(1)
def test_logits_and_tokens_are_left_as_they_were(get_logprobs):
    logits, tokens = random_inputs(3, 5, 7, seed=770)
    passed_logits, passed_tokens = logits.clone(), tokens.clone()
    expect(
        get_logprobs(passed_logits, passed_tokens, 1),
        expected_logprobs(logits, tokens),
        "The log-probability of the tokens after the first",
        WHY,
    )
    assert torch.equal(passed_logits, logits), "The logits were changed in place: make new tensors"
    assert torch.equal(passed_tokens, tokens), (
        "The tokens were changed in place: they are still needed; make new tensors"
    )
