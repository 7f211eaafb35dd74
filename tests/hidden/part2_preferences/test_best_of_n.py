"""Hidden tests of `best_of_n`."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import BEYOND_FLOAT32, Circumstance, Floats, Inputs
from rlhf_course.grading.judge.compare import (
    expect_form,
    expect_results_stay,
    expect_unchanged,
    expect_value_error,
    expect_values,
)

WHY = "it is the index of the highest reward among each prompt's completions, and of the first one of equals"
INPUTS = Inputs(
    sizes={"prompts": (2, 6), "n": (3, 9)},
    arguments={"rewards": Floats(("prompts", "n"))},
    words={"prompts": "one prompt", "n": "one completion"},
)


def hardly_different(draw, shape):
    """Draw rewards that differ by 1/1024 at least, and lie near 10."""
    texts, n = shape
    return torch.stack([10 + torch.tensor(draw.distinct_integers(0, 2 * n, n)) / 1024 for _ in range(texts)])


def distinct(draw, shape):
    """Draw rewards of which no two of a prompt are equal, or so near that half precision could not tell."""
    return torch.stack([torch.tensor(draw.distinct_integers(-40, 40, shape[1])) / 8 for _ in range(shape[0])])


def with_the_best_among_the_last(draw, shape):
    """Draw distinct rewards of many completions, of which one among the last is the best one."""
    rewards = torch.stack([torch.tensor(draw.distinct_integers(-900, 900, shape[1])) / 8 for _ in range(shape[0])])
    rewards[draw.integer(0, shape[0] - 1), draw.integer(shape[1] - 20, shape[1] - 1)] = 200.0
    return rewards


def very_low(draw, shape):
    """Draw distinct rewards of some billions below 0, which differ by a billion."""
    numbers = [draw.distinct_integers(8, 8 + 4 * shape[1], shape[1]) for _ in range(shape[0])]
    return -(2.0**30) * torch.tensor(numbers, dtype=torch.float32)


DISTINCT = Circumstance(entries=distinct)
CLOSE = Circumstance("for rewards that hardly differ", entries=hardly_different)
LOW = Circumstance("for rewards far below 0", sizes={"prompts": 5, "n": 6}, entries=very_low)
MANY = Circumstance("for many completions", sizes={"n": 256}, entries=with_the_best_among_the_last)


def best(rewards):
    """Return the indices, from the rewards one by one."""
    return torch.tensor([row.index(max(row)) for row in rewards.tolist()])


def expect_best(best_of_n, call, why=WHY):
    """Require the right indices in one call."""
    got = best_of_n(*call.passed())
    expect_values(got, call.right(best), call.subject("The index"), why, call)


def with_whole_numbers(draw, call):
    """Return the call with rewards of which some are equal, the highest ones of the first prompt among them."""
    rewards = draw.integers(-1, 1, *call.exact["rewards"].shape).float()
    rewards[0, draw.sample(range(rewards.shape[1]), 2)] = 2.0
    return call.with_arguments("for rewards of which some are equal", rewards=rewards)


@pytest.mark.points(1.5)
def test_each_prompt_gets_the_index_of_its_best_completion(best_of_n, draw):
    for call in INPUTS.calls(draw, [*INPUTS.size_circumstances(), MANY], each=2):
        expect_best(best_of_n, call)


def with_two_rewards(draw, call):
    """Return the call with rewards of 0 and 1, as those of a verifier are."""
    rewards = draw.integers(0, 1, *call.exact["rewards"].shape).float()
    return call.with_arguments("for many rewards that are 0 or 1", rewards=rewards)


@pytest.mark.points(1)
def test_the_first_one_of_equals_is_taken(best_of_n, draw):
    for number in range(4):
        own = draw.numbered(number)
        expect_best(best_of_n, with_whole_numbers(own, INPUTS.call(own)), "it is the first one of equals")
    # Torch's own sort and topk take others of equals, each for other numbers of completions.
    for number, n in enumerate((17, 64, 256), 101):
        many = INPUTS.call(draw.numbered(number), Circumstance(sizes={"prompts": 6, "n": n}))
        expect_best(best_of_n, with_two_rewards(draw, many), "it is the first one of equals")


@pytest.mark.points(0.5)
def test_a_reward_that_is_nan_is_a_value_error(best_of_n, draw):
    for number in range(3):
        call = INPUTS.call(draw.numbered(number), DISTINCT)
        expect_best(best_of_n, call)
        rewards = call.exact["rewards"].float()
        rewards[draw.integer(1, rewards.shape[0] - 1), draw.integer(0, rewards.shape[1] - 1)] = torch.nan
        expect_value_error(best_of_n, [rewards], "A batch with a reward that is NaN")


@pytest.mark.points(0.5)
def test_every_circumstance_gives_the_same_indices(best_of_n, draw):
    few = replace(BEYOND_FLOAT32, sizes={"prompts": 6})
    for call in INPUTS.calls(draw, [*INPUTS.other_circumstances(), CLOSE, CLOSE, LOW, few]):
        expect_best(best_of_n, call)
    expect_results_stay(best_of_n, list(INPUTS.calls(draw, [DISTINCT])), best, "The index")


@pytest.mark.points(0.5)
def test_the_indices_are_whole_numbers_one_a_prompt_and_the_rewards_stay_as_they_were(best_of_n, draw):
    expect_best(best_of_n, INPUTS.call(draw.numbered(0), DISTINCT))
    for call in INPUTS.calls(draw, INPUTS.all_circumstances()):
        passed = call.passed()
        got = best_of_n(*passed)
        subject = call.subject("The index")
        if isinstance(got, torch.Tensor):
            is_whole = not got.is_floating_point() and got.dtype != torch.bool
            assert is_whole, f"{subject} should hold whole numbers; other numbers came"
            got = got.double()
        expect_form(got, call.right(best), subject, torch.float64)
        expect_unchanged(call, passed)
