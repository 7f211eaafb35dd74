"""Generalised advantages against part 1's, estimates against the divergence itself, and masks of completions."""

import pytest
import torch
from doubles import normal
from part1_rlhf import compute_advantages
from part3_policy_gradients import completion_mask, compute_gae, kl_estimate

from rlhf_course.grading.judge.draw import Draw
from rlhf_course.grading.judge.rollouts import drawn_values
from rlhf_course.grading.secret import public_secret

VOCAB = 11


def one_step(values, rewards, prefix_len, lam=0.0):
    """Return generalised advantages with gamma 1 where each text gets its reward at its last token."""
    states = values[:, prefix_len - 1 : -1]
    at_the_end = torch.zeros_like(states)
    at_the_end[:, -1] = rewards
    return compute_gae(states, at_the_end, torch.ones_like(states, dtype=torch.bool), 1.0, lam)


@pytest.mark.parametrize("seed", range(3))
def test_with_gamma_1_and_lambda_0_gae_is_part_1s_advantage_on_its_rollouts(seed):
    values, rewards, prefix_len = drawn_values(Draw(public_secret(seed), "part3_policy_gradients/compute_gae/test"))
    torch.testing.assert_close(one_step(values, rewards, prefix_len), compute_advantages(values, rewards, prefix_len))


@pytest.mark.parametrize("prefix_len", [1, 4])
def test_with_gamma_1_and_lambda_0_gae_is_part_1s_advantage_of_each_text_of_its_own_length(prefix_len):
    values, rewards, gen = normal(6, prefix_len + 7), normal(6, seed=1), 7
    lengths = torch.tensor([7, 1, 3, 6, 2, 5])
    mask = torch.arange(gen) < lengths[:, None]
    at_the_end = torch.full((6, gen), torch.nan, dtype=torch.float64).masked_fill(mask, 0)
    at_the_end[torch.arange(6), lengths - 1] = rewards
    states = values[:, prefix_len - 1 : -1].masked_fill(~mask, torch.nan)
    advantages = compute_gae(states, at_the_end, mask, 1.0, 0.0)
    for row, length in enumerate(lengths.tolist()):
        alone = compute_advantages(
            values[row : row + 1, : prefix_len + length], rewards[row : row + 1], prefix_len
        ).squeeze(0)
        torch.testing.assert_close(advantages[row, :length], alone)
        assert not advantages[row, length:].any()


def test_with_gamma_1_and_lambda_1_gae_is_the_reward_minus_the_value():
    values, rewards = normal(5, 9), normal(5, seed=1)
    torch.testing.assert_close(one_step(values, rewards, 3, lam=1.0), rewards[:, None] - values[:, 2:-1])


def test_no_setting_of_lambda_changes_the_advantages_of_a_perfect_critic():
    rewards, gamma = normal(4, 8), 0.9
    values = torch.zeros(4, 9, dtype=torch.float64)
    for position in reversed(range(8)):
        values[:, position] = rewards[:, position] + gamma * values[:, position + 1]
    mask = torch.ones(4, 8, dtype=torch.bool)
    for lam in (0.0, 0.5, 1.0):
        found = compute_gae(values[:, :-1], rewards, mask, gamma, lam)
        torch.testing.assert_close(found, torch.zeros_like(rewards))


def distributions(scale=1.0):
    """Return logits of a policy that require a gradient, and log-probabilities of a reference, over a vocabulary."""
    logits = scale * normal(VOCAB)
    return logits.requires_grad_(True), normal(VOCAB, seed=1).log_softmax(-1)


def divergence(logprobs, ref_logprobs):
    """Return the KL divergence of the first distribution from the second one."""
    return (logprobs.exp() * (logprobs - ref_logprobs)).sum()


def mean_estimate(logits, ref_logprobs, kind):
    """Return the mean of an estimate over tokens that the policy samples, whose sampling carries no gradient."""
    logprobs = logits.log_softmax(-1)
    return (logprobs.exp().detach() * kl_estimate(logprobs[None], ref_logprobs[None], kind)[0]).sum()


@pytest.mark.parametrize("kind", ["k1", "k3"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_the_mean_of_k1_and_of_k3_is_the_divergence(kind, scale):
    logits, ref_logprobs = distributions(scale)
    wanted = divergence(logits.log_softmax(-1), ref_logprobs)
    torch.testing.assert_close(mean_estimate(logits, ref_logprobs, kind), wanted)


def test_the_mean_gradient_of_k2_alone_is_the_divergences():
    logits, ref_logprobs = distributions()
    (wanted,) = torch.autograd.grad(divergence(logits.log_softmax(-1), ref_logprobs), logits)
    (reverse,) = torch.autograd.grad(divergence(ref_logprobs, logits.log_softmax(-1)), logits)
    found = {
        kind: torch.autograd.grad(mean_estimate(logits, ref_logprobs, kind), logits)[0] for kind in ("k1", "k2", "k3")
    }
    torch.testing.assert_close(found["k2"], wanted)
    torch.testing.assert_close(found["k1"], torch.zeros(VOCAB, dtype=torch.float64))
    torch.testing.assert_close(found["k3"], reverse)
    assert not torch.allclose(reverse, wanted, rtol=0.1)


def test_k2_and_k3_are_never_negative_and_0_where_both_agree():
    logprobs, ref_logprobs = -normal(50, 40).abs(), -normal(50, 40, seed=1).abs()
    for kind in ("k2", "k3"):
        assert bool((kl_estimate(logprobs, ref_logprobs, kind) >= 0).all())
        assert not kl_estimate(logprobs, logprobs, kind).any()


def test_small_log_ratios_keep_their_precision_in_k3():
    logprobs = torch.full((1, 3), -2.0)
    ref_logprobs = logprobs + torch.tensor([[1e-3, -1e-3, 1e-4]])
    exact = kl_estimate(logprobs.double(), ref_logprobs.double(), "k3")
    torch.testing.assert_close(kl_estimate(logprobs, ref_logprobs, "k3").double(), exact, rtol=1e-2, atol=0)


def test_another_kind_is_named_in_the_error():
    with pytest.raises(ValueError, match="k4"):
        kl_estimate(torch.zeros(1, 1), torch.zeros(1, 1), "k4")


def test_a_completion_goes_up_to_and_with_its_first_end():
    ids = torch.tensor([[5, 2, 9, 2], [9, 9, 9, 9], [1, 2, 3, 4], [1, 2, 3, 9]])
    assert completion_mask(ids, 9).int().tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
