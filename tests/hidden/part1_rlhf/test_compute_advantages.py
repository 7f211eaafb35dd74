"""Hidden tests of `compute_advantages`."""

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
)
from rlhf_course.grading.judge.compare import expect_form, expect_results_stay, expect_unchanged, expect_values
from rlhf_course.grading.judge.rollouts import drawn_values

WHY = "it is Q - V: the value of the next state, or the reward for the last token, minus the value of the state before"


def from_rollout(draw):
    """Draw values and rewards of some texts."""
    values, rewards, prefix_len = drawn_values(draw)
    return {"values": values, "rewards": rewards, "prefix_len": prefix_len}


INPUTS = Inputs(
    sizes={"texts": (2, 6), "prefix": (2, 6), "gen_len": (2, 7)},
    arguments={
        "values": Floats(("texts", "prefix + gen_len")),
        "rewards": Floats(("texts",), scale=3.0, mean=1.0),
        "prefix_len": Size("prefix"),
    },
    words={"texts": "one text", "prefix": "a prefix of one token", "gen_len": "one generated token"},
    rollout=from_rollout,
)
ONE_TEXT, ONE_PREFIX_TOKEN, ONE_TOKEN = INPUTS.size_circumstances()[1:]
ONE_TOKEN_OF_ONE_TEXT = Circumstance("for one generated token of one text", sizes={"texts": 1, "gen_len": 1})


def advantages(values, rewards, prefix_len):
    """Return A = Q - V, computed one entry at a time."""
    rows = []
    for row, reward in zip(values.tolist(), rewards.tolist(), strict=True):
        states = [*row[:-1], reward]
        rows.append([states[place] - states[place - 1] for place in range(prefix_len, len(states))])
    return torch.tensor(rows, dtype=torch.float64)


def expect_advantages(compute_advantages, call, why=WHY):
    """Require the right advantages in one call, and return them."""
    got = compute_advantages(*call.passed())
    return expect_values(got, call.right(advantages), call.subject("The advantage"), why, call, advantages)


@pytest.mark.points(2)
def test_advantages_are_q_minus_v(compute_advantages, draw):
    long_prefix = Circumstance("for a long prefix", sizes={"prefix": draw.integer(16, 40)})
    for call in INPUTS.calls(draw, [ORDINARY, ORDINARY, long_prefix]):
        expect_advantages(compute_advantages, call)
    example = torch.tensor([[0.5, 1.0, -2.0, 4.0, 3.0], [0.0, 7.0, 1.0, 1.5, -1.0]])
    got = compute_advantages(example, torch.tensor([9.0, -2.0]), 2)
    wanted = torch.tensor([[-3.0, 6.0, 5.0], [-6.0, 0.5, -3.5]])
    expect_values(got, wanted, "The advantage of two short texts", WHY)


@pytest.mark.points(0.5)
def test_a_prefix_of_one_token_works(compute_advantages, draw):
    for call in INPUTS.calls(draw, [ONE_PREFIX_TOKEN], each=2):
        expect_advantages(compute_advantages, call)


@pytest.mark.points(0.5)
def test_the_only_generated_token_is_the_last_one(compute_advantages, draw):
    for call in INPUTS.calls(draw, [ONE_TOKEN], each=2):
        expect_advantages(compute_advantages, call, "it is the reward minus the value of the state before")


@pytest.mark.points(0.5)
def test_one_text_is_a_batch_of_one(compute_advantages, draw):
    for call in INPUTS.calls(draw, [ONE_TEXT], each=2):
        expect_advantages(compute_advantages, call)


@pytest.mark.points(1)
def test_advantages_carry_no_gradient(compute_advantages, draw):
    for call in INPUTS.calls(draw, [WITH_GRADIENT, WITH_GRAPH]):
        assert not expect_advantages(compute_advantages, call).requires_grad, (
            "The advantages carry a gradient to the values or rewards: they are targets, made under torch.no_grad() or "
            "detached"
        )


@pytest.mark.points(1)
def test_every_circumstance_that_training_meets_gives_the_same_advantages(compute_advantages, draw):
    for call in INPUTS.calls(draw, INPUTS.other_circumstances()):
        expect_advantages(compute_advantages, call)
    expect_results_stay(compute_advantages, list(INPUTS.calls(draw, [ORDINARY])), advantages, "The advantage")


def training_calls(draw):
    """Draw calls with many texts of over 32 tokens."""
    texts = draw.integer(65, 130)
    call = INPUTS.call(draw, Circumstance(sizes={"texts": texts, "gen_len": draw.integer(36, 60)}))
    values = (0.25 + 0.004 * call.exact["values"]).float()
    counts = draw.integers(0, 2, texts).float()
    counts[:3] = torch.tensor([0.0, 1.0, float(draw.integer(20, 64))])
    counts = counts[draw.shuffled(range(texts))]
    normalised = (counts - counts.mean()) / counts.std()
    equal = values[:1].expand_as(values).clone()
    large = 16 * call.exact["values"].float()
    drawn = [
        call.with_arguments("for counts as rewards, one of them large", values=values, rewards=counts),
        call.with_arguments("for normalised rewards", values=values, rewards=normalised),
        call.with_arguments("for texts of equal values and different rewards", values=equal, rewards=counts),
        call.with_arguments("for values of the size of the rewards", values=large, rewards=counts),
    ]
    return draw.shuffled(drawn)


@pytest.mark.points(1)
def test_values_and_rewards_as_they_occur_in_training_give_the_right_advantages(compute_advantages, draw):
    for call in training_calls(draw):
        expect_advantages(compute_advantages, call)


@pytest.mark.points(1)
def test_values_and_rewards_are_left_as_they_were(compute_advantages, draw):
    expect_advantages(compute_advantages, INPUTS.call(draw.numbered(0)))
    for call in INPUTS.calls(draw, [ORDINARY, WITH_GRADIENT, WITH_GRAPH, ONE_TEXT, ONE_TOKEN]):
        passed = call.passed()
        compute_advantages(*passed)
        expect_unchanged(call, passed)


@pytest.mark.points(0.5)
def test_the_result_has_one_row_a_text_and_one_column_a_generated_token_in_the_values_dtype(compute_advantages, draw):
    expect_advantages(compute_advantages, INPUTS.call(draw.numbered(0)))
    for call in INPUTS.calls(draw, [ORDINARY, DOUBLE, ONE_TEXT, ONE_TOKEN, ONE_TOKEN_OF_ONE_TEXT]):
        got = compute_advantages(*call.passed())
        wanted = call.right(advantages)
        expect_form(got, wanted, call.subject("The advantage"), call.circumstance.dtype)
    expect_advantages(compute_advantages, INPUTS.call(draw.numbered(-1), BEYOND_FLOAT32))
