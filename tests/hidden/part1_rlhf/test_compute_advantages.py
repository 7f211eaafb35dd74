"""Hidden tests of `compute_advantages`.

Tests of one circumstance, such as a prefix of one token, use texts with equal rewards. So an answer that is wrong in
another way does not fail them for that.
"""

import pytest
import torch

from rlhf_course.checks.core import normal
from rlhf_course.grading.judge.expect import expect

WHY = "it is Q - V: the value of the next state, or the reward for the last token, minus the value of the state before"


def expected_advantages(values, rewards, prefix_len):
    """Return A = Q - V, computed one entry at a time."""
    texts, seq = values.shape
    wanted = torch.zeros(texts, seq - prefix_len, dtype=torch.float64)
    for text in range(texts):
        for position in range(prefix_len, seq):
            q = rewards[text] if position == seq - 1 else values[text, position]
            wanted[text, position - prefix_len] = q.double() - values[text, position - 1].double()
    return wanted


@pytest.mark.points(2.5)
def test_advantages_are_q_minus_v(compute_advantages):
    example = torch.tensor([[0.5, 1.0, -2.0, 4.0, 3.0], [0.0, 7.0, 1.0, 1.5, -1.0]])
    wanted = torch.tensor([[-3.0, 6.0, 5.0], [-6.0, 0.5, -3.5]])
    expect(
        compute_advantages(example.clone(), torch.tensor([9.0, -2.0]), 2),
        wanted,
        "The advantage of two short texts",
        WHY,
    )
    for index, (texts, seq, prefix_len) in enumerate([(5, 11, 4), (3, 7, 2), (2, 13, 9), (7, 9, 6)]):
        values, rewards = normal(texts, seq, seed=410 + index), 3 + 2 * normal(texts, seed=420 + index)
        got = compute_advantages(values.clone(), rewards.clone(), prefix_len)
        expect(got, expected_advantages(values, rewards, prefix_len), "The advantage", WHY)
        total = (rewards - values[:, prefix_len - 1]).double()
        expect(
            got.sum(1), total, "The sum of a text's advantages", "it is the reward minus the value of the first state"
        )


@pytest.mark.points(1)
def test_a_prefix_of_one_token_works(compute_advantages):
    values, rewards = normal(2, 7, seed=430), torch.full((2,), 1.7)
    got = compute_advantages(values.clone(), rewards.clone(), 1)
    expect(got, expected_advantages(values, rewards, 1), "The advantage after a prefix of one token", WHY)


@pytest.mark.points(1)
def test_the_only_generated_token_is_the_last_one(compute_advantages):
    values, rewards = normal(2, 6, seed=440), torch.full((2,), -0.6)
    got = compute_advantages(values.clone(), rewards.clone(), 5)
    expect(
        got,
        expected_advantages(values, rewards, 5),
        "The advantage of the only generated token",
        "it is the reward minus the value of the state before",
    )


@pytest.mark.points(1)
def test_one_text_is_a_batch_of_one(compute_advantages):
    values, rewards = normal(1, 8, seed=450), torch.tensor([2.3])
    got = compute_advantages(values.clone(), rewards.clone(), 3)
    expect(got, expected_advantages(values, rewards, 3), "The advantage of one text", WHY)


@pytest.mark.points(1)
def test_advantages_carry_no_gradient(compute_advantages):
    values, rewards = normal(2, 7, seed=460).requires_grad_(True), torch.full((2,), 0.9)
    got = compute_advantages(values, rewards, 3)
    expect(
        got, expected_advantages(values.detach(), rewards, 3), "The advantage from values that carry a gradient", WHY
    )
    assert not got.requires_grad, (
        "The advantages carry a gradient to the values: they are targets, made under torch.no_grad() or detached"
    )


@pytest.mark.points(1.5)
def test_values_and_rewards_are_left_as_they_were(compute_advantages):
    values, rewards = normal(2, 9, seed=470), torch.full((2,), 4.1)
    passed_values, passed_rewards = values.clone(), rewards.clone()
    expect(
        compute_advantages(passed_values, passed_rewards, 4),
        expected_advantages(values, rewards, 4),
        "The advantage",
        WHY,
    )
    assert torch.equal(passed_values, values), (
        "The values that were passed in were changed: a slice shares its memory; make a new tensor"
    )
    assert torch.equal(passed_rewards, rewards), "The rewards that were passed in were changed: make a new tensor"
