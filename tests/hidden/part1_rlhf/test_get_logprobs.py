"""Hidden tests of `get_logprobs`.

The tests of single circumstances use a prefix of one token, so that they speak of that circumstance alone.
"""

import pytest
import torch

from rlhf_course.checks.core import integers, normal, round_to_quarters
from rlhf_course.grading.judge.expect import expect, expect_floats

WHY = "logits at position i are about the token at i + 1; the log-probability of that token is wanted, for tokens after the prefix"


def by_hand(logits, tokens, prefix_len=1):
    """The log-probability of each token, an entry at a time."""
    logprobs = logits.detach().double().log_softmax(-1)
    texts, seq = tokens.shape
    rows = [
        [logprobs[text, position - 1, tokens[text, position]] for position in range(prefix_len, seq)]
        for text in range(texts)
    ]
    return torch.stack([torch.stack(row) for row in rows])


def case(texts, seq, vocab, seed):
    return normal(texts, seq, vocab, seed=seed), integers(0, vocab, texts, seq, seed=seed + 1)


@pytest.mark.points(2)
def test_each_token_after_the_prefix_gets_the_log_probability_it_was_given(get_logprobs):
    for number, (texts, seq, vocab, prefix_len) in enumerate([(3, 9, 7, 4), (5, 7, 11, 2), (2, 13, 6, 8)]):
        logits, tokens = case(texts, seq, vocab, seed=710 + 2 * number)
        got = get_logprobs(logits.clone(), tokens.clone(), prefix_len)
        expect(got, by_hand(logits, tokens, prefix_len), "The log-probability of the tokens after the prefix", WHY)

    logits, vocab = normal(1, 4, 7, seed=717), 7
    each = integers(0, vocab, 1, 4, seed=718).repeat(vocab, 1)
    each[:, 3] = torch.arange(vocab)
    got = get_logprobs(logits.expand(vocab, -1, -1).clone(), each, 2)
    total = expect_floats(got, 2, "The log-probability of every token in turn")[:, -1].exp().sum(0)
    expect(
        total,
        torch.tensor(1.0),
        "The sum of the probabilities of all tokens",
        "they are those of one distribution, over the vocabulary",
    )


@pytest.mark.points(1.5)
def test_no_prefix_length_means_one(get_logprobs):
    logits, tokens = case(3, 6, 7, seed=720)
    for arguments in ((), (None,)):
        got = get_logprobs(logits.clone(), tokens.clone(), *arguments)
        expect(
            got,
            by_hand(logits, tokens),
            "The log-probability of the tokens where prefix_len is None",
            "all tokens but the first are asked about",
        )


@pytest.mark.points(1.5)
def test_gradients_flow_to_the_logits(get_logprobs):
    logits, tokens = case(4, 5, 7, seed=730)
    leaf, weights = logits.clone().requires_grad_(True), normal(4, 4, seed=732)
    got = get_logprobs(leaf, tokens.clone(), 1)
    expect(got, by_hand(logits, tokens), "The log-probability of the tokens after the first", WHY)
    assert got.requires_grad, (
        "No gradient of the log-probabilities reaches the logits, so the policy cannot learn from them"
    )
    (gradient,) = torch.autograd.grad((got * weights).sum(), leaf)
    twin = logits.double().requires_grad_(True)
    wanted = (twin.log_softmax(-1)[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0] * weights).sum()
    expect(
        gradient,
        torch.autograd.grad(wanted, twin)[0],
        "The gradient of the log-probabilities",
        "it is that of log_softmax at the tokens that followed",
    )


@pytest.mark.points(1)
def test_extreme_logits_give_finite_numbers_and_gradients(get_logprobs):
    logits, tokens = case(3, 6, 5, seed=740)
    logits = logits.sign() * 1e4 + round_to_quarters(logits)
    leaf = logits.clone().requires_grad_(True)
    got = get_logprobs(leaf, tokens.clone(), 1)
    expect(
        got,
        by_hand(logits, tokens),
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
    for texts, seq, what in ((1, 6, "one text"), (3, 2, "one generated token"), (1, 2, "one token of one text")):
        logits, tokens = case(texts, seq, 7, seed=750 + seq + texts)
        got = get_logprobs(logits.clone(), tokens.clone(), 1)
        expect(
            got,
            by_hand(logits, tokens),
            f"The log-probability of {what}",
            "the result is [batch, seq - prefix_len], whatever the sizes",
        )


@pytest.mark.points(1)
def test_logits_and_tokens_are_left_as_they_were(get_logprobs):
    logits, tokens = case(3, 5, 7, seed=770)
    passed, ids = logits.clone(), tokens.clone()
    expect(
        get_logprobs(passed, ids, 1), by_hand(logits, tokens), "The log-probability of the tokens after the first", WHY
    )
    assert torch.equal(passed, logits), "The logits were changed in place: make new tensors"
    assert torch.equal(ids, tokens), "The tokens were changed in place: they are still needed; make new tensors"
