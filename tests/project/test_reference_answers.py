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
from part2_preferences import (
    best_of_n,
    best_of_n_kl,
    bradley_terry_loss,
    dpo_loss,
    normalize_rewards,
    reward_accuracy,
    sequence_logprobs,
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


PAIRS = 7


def log_sigmoid(differences: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -differences)


@pytest.mark.parametrize("margin", [None, normal(PAIRS, seed=9)])
def test_the_bradley_terry_loss_and_its_gradients(margin):
    chosen, rejected = 2 * normal(PAIRS), 2 * normal(PAIRS, seed=1)
    difference = chosen.numpy() - rejected.numpy() - (0 if margin is None else margin.numpy())
    leaves = [chosen.clone().requires_grad_(), rejected.clone().requires_grad_()]
    loss = bradley_terry_loss(*leaves, margin)
    assert math.isclose(loss.item(), -log_sigmoid(difference).mean(), rel_tol=1e-12)
    loss.backward()
    numeric = [
        numeric_gradient(lambda x: bradley_terry_loss(x, rejected, margin), chosen),
        numeric_gradient(lambda x: bradley_terry_loss(chosen, x, margin), rejected),
    ]
    assert all(torch.allclose(leaf.grad, wanted, atol=1e-8) for leaf, wanted in zip(leaves, numeric, strict=True))


@pytest.mark.parametrize("size", [1e3, -1e3, 1e30, -1e30])
def test_differences_of_any_size_give_finite_losses_and_gradients(size):
    leaf, zeros = torch.full((3,), size, requires_grad=True), torch.zeros(3)
    losses, *_ = dpo_loss(leaf, zeros, zeros, zeros, 1.0)
    for loss in (bradley_terry_loss(leaf, zeros), losses.mean()):
        assert math.isclose(loss.item(), max(-size, 0.0), rel_tol=1e-6, abs_tol=1e-30)
        (gradient,) = torch.autograd.grad(loss, leaf)
        assert gradient.isfinite().all()


def test_the_accuracy_counts_ties_one_half():
    assert reward_accuracy(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 2.0, 4.0])).item() == 0.5
    assert reward_accuracy(normal(4), normal(4)).dtype == torch.float64


def test_rewards_are_normalised_by_the_references_mean_and_deviation():
    rewards, reference = normal(5), 3 * normal(9, seed=1) + 2
    wanted = (rewards.numpy() - reference.numpy().mean()) / (reference.numpy().std(ddof=1) + 1e-8)
    assert np.allclose(normalize_rewards(rewards, reference), wanted, rtol=1e-12)


def test_the_best_of_n_is_the_first_of_the_highest():
    rewards = np.array([[0.0, 2.0, 2.0], [3.0, 1.0, 2.0], [-1.0, -2.0, -1.0]])
    assert best_of_n(torch.tensor(rewards)).tolist() == rewards.argmax(1).tolist() == [1, 0, 0]


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_the_kl_of_best_of_n_is_the_integral_over_ranks(n):
    rank = (np.arange(2_000_000) + 0.5) / 2_000_000
    log_density = np.log(n) + (n - 1) * np.log(rank)
    integral = (np.exp(log_density) * log_density).mean()
    assert math.isclose(best_of_n_kl(n), integral, rel_tol=1e-3, abs_tol=1e-9)


def test_log_probabilities_of_completions_are_sums_over_the_masks_tokens_with_their_gradient():
    logits = normal(MB, SEQ, VOCAB).requires_grad_()
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(VOCAB, (MB, SEQ), generator=generator)
    mask = torch.rand(MB, SEQ, generator=generator) < 0.5
    mask[1], mask[2, 0] = False, True
    table, wanted = log_softmax(logits.detach().numpy()), np.zeros(MB)
    expected = np.zeros((MB, SEQ, VOCAB))
    for row in range(MB):
        for at in range(1, SEQ):
            if mask[row, at]:
                wanted[row] += table[row, at - 1, tokens[row, at]]
                expected[row, at - 1] -= np.exp(table[row, at - 1])
                expected[row, at - 1, tokens[row, at]] += 1
    logprobs = sequence_logprobs(logits, tokens, mask)
    assert np.allclose(logprobs.detach(), wanted, rtol=1e-12) and logprobs[1] == 0
    logprobs.sum().backward()
    assert np.allclose(logits.grad, expected)


def test_dpo_is_the_bradley_terry_loss_of_implicit_rewards_and_gives_no_gradient_to_the_reference():
    beta, names = 0.3, range(4)
    leaves = [(4 * normal(PAIRS, seed=seed) - 20).requires_grad_() for seed in names]
    losses, chosen_rewards, rejected_rewards = dpo_loss(*leaves, beta)
    policy_chosen, policy_rejected, reference_chosen, reference_rejected = (leaf.detach().numpy() for leaf in leaves)
    chosen, rejected = beta * (policy_chosen - reference_chosen), beta * (policy_rejected - reference_rejected)
    assert np.allclose(losses.detach(), -log_sigmoid(chosen - rejected), rtol=1e-12)
    assert np.allclose(chosen_rewards, chosen) and np.allclose(rejected_rewards, rejected)
    assert not chosen_rewards.requires_grad and not rejected_rewards.requires_grad
    losses.sum().backward()
    weight = beta / (1 + np.exp(chosen - rejected))
    assert np.allclose(leaves[0].grad, -weight) and np.allclose(leaves[1].grad, weight)
    assert leaves[2].grad is None and leaves[3].grad is None


@pytest.mark.parametrize("call", [bradley_terry_loss, reward_accuracy], ids=lambda call: call.__name__)
def test_no_pair_at_all_is_refused(call):
    with pytest.raises(ValueError, match="no pair"):
        call(torch.zeros(0), torch.zeros(0))


@pytest.mark.parametrize("reference", [torch.full((6,), 0.1), torch.ones(1)])
def test_a_reference_without_a_deviation_is_refused(reference):
    with pytest.raises(ValueError, match="no deviation"):
        normalize_rewards(normal(3), reference)


def test_nan_has_no_best_and_no_text_has_no_divergence():
    with pytest.raises(ValueError, match="NaN"):
        best_of_n(torch.tensor([[1.0, float("nan")]]))
    with pytest.raises(ValueError, match="at least one text"):
        best_of_n_kl(0)
