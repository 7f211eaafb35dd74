"""Tests of the reference answers against formulas in float64, on sizes that are odd and distinct."""

import math

import numpy as np
import pytest
import torch
from doubles import TwoPartModel, normal
from part1_rlhf import (
    calc_entropy_bonus,
    calc_kl_penalty,
    compute_advantages,
    get_logprobs,
    get_optimizer,
    normalize_reward,
    reward_fn_char_count,
)

MB, GEN, PREFIX, VOCAB = 3, 7, 4, 11
SEQ = PREFIX + GEN


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def numeric_gradient(function, tensor: torch.Tensor, step: float = 1e-6) -> torch.Tensor:
    """Return the central differences of a scalar function for each entry."""
    gradient = torch.zeros_like(tensor)
    for index in np.ndindex(*tensor.shape):
        ends = []
        for sign in (1, -1):
            moved = tensor.clone()
            moved[index] += sign * step
            ends.append(function(moved).item())
        gradient[index] = (ends[0] - ends[1]) / (2 * step)
    return gradient


def test_characters_are_counted_as_floats():
    texts = ["This is a test.", "", "...", "No dots", "U.S.A. costs 3.50"]
    counts = reward_fn_char_count(texts)
    assert counts.dtype == torch.float32
    assert counts.tolist() == [1, 0, 3, 0, 4]
    assert reward_fn_char_count(texts, char="s").tolist() == [3, 0, 0, 1, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalised_rewards_have_mean_0_and_deviation_1(dtype):
    reward = (40 + 9 * normal(13)).to(dtype)
    before = reward.clone()
    result = normalize_reward(reward)
    assert result.dtype == dtype
    assert math.isclose(result.mean().item(), 0, abs_tol=1e-6)
    assert math.isclose(result.std().item(), 1, rel_tol=1e-5)
    assert torch.equal(reward, before)


def test_equal_rewards_become_zeros():
    assert normalize_reward(torch.full((5,), 3.0)).tolist() == [0] * 5


@pytest.mark.parametrize("prefix_len", [1, PREFIX])
def test_advantages_are_the_next_value_or_the_reward_minus_the_value_before(prefix_len):
    seq = prefix_len + GEN
    values, rewards = normal(MB, seq).requires_grad_(), normal(MB, seed=1)
    before = values.detach().clone()
    advantages = compute_advantages(values, rewards, prefix_len)
    assert advantages.shape == (MB, GEN)
    assert not advantages.requires_grad
    for row in range(MB):
        for token in range(prefix_len, seq):
            q = rewards[row] if token == seq - 1 else before[row, token]
            assert advantages[row, token - prefix_len] == q - before[row, token - 1]
    assert torch.equal(values.detach(), before)


def test_kl_penalty_and_its_gradient():
    logits, ref_logits = 3 * normal(MB, GEN, VOCAB), 3 * normal(MB, GEN, VOCAB, seed=1)
    p, ref = log_softmax(logits.numpy()), log_softmax(ref_logits.numpy())
    expected = 2.5 * (np.exp(p) * (p - ref)).sum() / (MB * GEN)
    leaf = logits.clone().requires_grad_()
    penalty = calc_kl_penalty(leaf, ref_logits, 2.5, GEN)
    assert math.isclose(penalty.item(), expected, rel_tol=1e-12)
    penalty.backward()
    assert torch.allclose(
        leaf.grad, numeric_gradient(lambda x: calc_kl_penalty(x, ref_logits, 2.5, GEN), logits), atol=1e-8
    )
    assert leaf.grad.abs().max() > 1e-3


def test_entropy_bonus_and_its_gradient():
    logits = 3 * normal(MB, GEN, VOCAB)
    p = log_softmax(logits.numpy())
    expected = -0.7 * (np.exp(p) * p).sum() / (MB * GEN)
    leaf = logits.clone().requires_grad_()
    bonus = calc_entropy_bonus(leaf, 0.7, GEN)
    assert math.isclose(bonus.item(), expected, rel_tol=1e-12)
    assert bonus > 0
    bonus.backward()
    assert torch.allclose(leaf.grad, numeric_gradient(lambda x: calc_entropy_bonus(x, 0.7, GEN), logits), atol=1e-8)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_logits_give_finite_terms_and_gradients(size):
    logits = normal(MB, GEN, VOCAB).float()
    logits[:, :, 2] = size
    leaf, ref_logits = logits.requires_grad_(), normal(MB, GEN, VOCAB, seed=1).float()
    total = calc_kl_penalty(leaf, ref_logits, 1.0, GEN) + calc_entropy_bonus(leaf, 1.0, GEN)
    total.backward()
    assert total.isfinite()
    assert leaf.grad.isfinite().all()


@pytest.mark.parametrize(("prefix_len", "first"), [(None, 1), (1, 1), (PREFIX, PREFIX)])
def test_logprobs_are_those_of_the_tokens_that_followed_with_their_gradient(prefix_len, first):
    logits = normal(MB, SEQ, VOCAB).requires_grad_()
    tokens = torch.randint(VOCAB, (MB, SEQ), generator=torch.Generator().manual_seed(1))
    logprobs = get_logprobs(logits, tokens, prefix_len)
    table = log_softmax(logits.detach().numpy())
    assert logprobs.shape == (MB, SEQ - first)
    for row in range(MB):
        for at in range(first, SEQ):
            assert math.isclose(logprobs[row, at - first].item(), table[row, at - 1, tokens[row, at]], rel_tol=1e-12)
    logprobs.sum().backward()
    expected = np.zeros((MB, SEQ, VOCAB))
    for row in range(MB):
        for at in range(first, SEQ):
            expected[row, at - 1] = -np.exp(table[row, at - 1])
            expected[row, at - 1, tokens[row, at]] += 1
    assert np.allclose(logits.grad, expected)


def test_the_optimizer_is_adamw_ascending_with_a_rate_for_each_group():
    model = TwoPartModel()
    parameters = model.get_base_model_trainable_params() + model.get_value_head_params()
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer = get_optimizer(model, 1e-3, 1e-2)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for parameter, old, rate in zip(parameters, before, [1e-3, 1e-3, 1e-2, 1e-2], strict=True):
        # Adam's first step has the size of the learning rate; the decay is 0.01 times the weight times the rate.
        assert torch.allclose(parameter, old * (1 - 0.01 * rate) + rate, atol=1e-6)
    held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(held) == sorted(map(id, parameters))
