"""Hidden tests of `compute_gae`."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import (
    COMPLETION_CIRCUMSTANCES,
    DOUBLE,
    MASK_CIRCUMSTANCES,
    ORDINARY,
    WITH_GRADIENT,
    WITH_GRAPH,
    Circumstance,
    Floats,
    Inputs,
    Mask,
    Number,
)
from rlhf_course.grading.judge.compare import (
    DOUBLE_PRECISION,
    expect_form,
    expect_results_stay,
    expect_unchanged,
    expect_values,
)
from rlhf_course.grading.judge.rollouts import drawn_values

WHY = (
    "it is delta plus gamma * lam times the next advantage, with delta = reward + gamma * next value - value, and "
    "nothing comes after a text's last token"
)


def from_rollout(draw):
    """Draw the values of some texts at their generated tokens, with the reward at the last one."""
    values, final, prefix_len = drawn_values(draw)
    values = values[:, prefix_len - 1 : -1]
    rewards = torch.zeros_like(values)
    rewards[:, -1] = final
    return {"values": values, "rewards": rewards, "mask": torch.ones_like(values, dtype=torch.bool)}


INPUTS = Inputs(
    sizes={"texts": (2, 6), "gen": (3, 9)},
    arguments={
        "values": Floats(("texts", "gen")),
        "rewards": Floats(("texts", "gen"), mean=0.5),
        "mask": Mask(("texts", "gen"), "completion"),
        "gamma": Number(0.6, 0.98),
        "lam": Number(0.3, 0.95),
    },
    words={"texts": "one text", "gen": "one token"},
    rollout=from_rollout,
)


def tokens_first(circumstances):
    """Return circumstances whose masks are True for the first tokens of each text, as the contract has them."""
    return [
        replace(circumstance, prompts=False, padding="none" if circumstance.padding == "none" else "right")
        for circumstance in circumstances
        if circumstance.padding != "left" and circumstance.prompts
    ]


(PLAIN, PADDED, UNPADDED, WITHOUT_TOKENS) = tokens_first(
    [ORDINARY, MASK_CIRCUMSTANCES[0], MASK_CIRCUMSTANCES[2], COMPLETION_CIRCUMSTANCES[0]]
)


def advantages(values, rewards, mask, gamma, lam):
    """Return the sums of rewards and values, each with its weight in the advantage, text by text."""
    result = torch.zeros_like(values)
    for row, length in enumerate(mask.sum(1).tolist()):
        distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
        factor = torch.tensor(gamma * lam, dtype=values.dtype)
        of_rewards = (factor ** distance.clamp(min=0)).triu()
        of_values = gamma * (1 - lam) * (factor ** (distance - 1).clamp(min=0)).triu(1) - torch.eye(length)
        result[row, :length] = of_rewards @ rewards[row, :length] + of_values @ values[row, :length]
    return result


def expect_advantages(compute_gae, call, why=WHY, **tolerance):
    """Require the right advantages in one call, and return them."""
    got = compute_gae(*call.passed())
    return expect_values(got, call.right(advantages), call.subject("The advantage"), why, call, advantages, **tolerance)


@pytest.mark.points(3)
def test_an_advantage_is_delta_plus_gamma_lambda_times_the_next_one(compute_gae, draw):
    many = Circumstance("for many texts", sizes={"texts": 33})
    long = Circumstance("for texts longer than 64 tokens", sizes={"texts": 4, "gen": 90}, padding="none")
    for call in INPUTS.calls(draw, tokens_first([*INPUTS.size_circumstances(), ORDINARY, many, long])):
        expect_advantages(compute_gae, call)


def as_in_training(draw):
    """Draw calls with values and rewards as critics and reward functions give them."""
    call = INPUTS.call(draw, replace(PADDED, sizes={"texts": 5, "gen": 8}))
    values, rewards, mask = (call.exact[name] for name in ("values", "rewards", "mask"))
    values, rewards = values.float(), rewards.float()
    counts = draw.integers(0, 2, *rewards.shape).float() * draw.choice([20, 30, 40])
    is_last = mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
    yield call.with_arguments("for large rewards", rewards=60 * rewards)
    yield call.with_arguments("for large values", values=60 * values)
    yield call.with_arguments("for rewards that are counts, many of them 0", rewards=counts)
    yield call.with_arguments("for rewards at the last tokens alone", rewards=rewards * is_last)
    yield call.with_arguments("for rewards at all tokens but the last", rewards=rewards * ~is_last)
    yield call.with_arguments("for values that are all 0", values=torch.zeros_like(values))
    yield call.with_arguments("for rewards that are all 0", rewards=torch.zeros_like(rewards))
    yield call.with_arguments("for small values and rewards", values=values / 512, rewards=rewards / 512)


def with_padding(call, phrase, values, rewards):
    """Return a call with other numbers at the padding of values and rewards."""
    mask = call.exact["mask"]
    filled = {
        name: torch.where(mask, call.exact[name].float(), filling)
        for name, filling in (("values", values), ("rewards", rewards))
    }
    return call.with_arguments(phrase, **filled)


@pytest.mark.points(1.5)
def test_padding_counts_for_nothing_whatever_stands_there_and_gets_0(compute_gae, draw):
    several = replace(PADDED, sizes={"texts": 5, "gen": 8})
    for number, call in enumerate(INPUTS.calls(draw, [PADDED, PADDED, several, several]), 1):
        expect_advantages(compute_gae, call, "what stands at padding counts for nothing, and padding gets 0")
        own = draw.numbered(-number)
        shape = call.exact["values"].shape
        wild = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30, -1e4])
        mixed = [wild[own.integers(0, len(wild) - 1, *shape)] for _ in range(2)]
        nan, infinite = torch.full(shape, torch.nan), torch.full(shape, torch.inf)
        for phrase, *fillings in own.shuffled(
            [
                ("where values and rewards are NaN at padding", nan, nan),
                ("where values are infinite at padding", infinite, torch.zeros(shape)),
                ("where rewards are large at padding", torch.zeros(shape), torch.full(shape, 1e6)),
                ("where values and rewards are NaN, infinite and large at padding", *mixed),
            ]
        ):
            expect_advantages(compute_gae, with_padding(call, phrase, *fillings), "that counts for nothing")


@pytest.mark.points(1)
def test_a_text_without_a_token_gets_zeros_and_changes_no_other_one(compute_gae, draw):
    for call in INPUTS.calls(draw, [WITHOUT_TOKENS], each=3):
        expect_advantages(compute_gae, call)
    call = INPUTS.call(draw.numbered(-1), PADDED)
    nothing = torch.zeros_like(call.exact["mask"])
    expect_advantages(compute_gae, INPUTS.call(draw.numbered(0), PADDED))
    expect_advantages(compute_gae, call.with_arguments("for texts that all have no token", mask=nothing))


@pytest.mark.points(1.5)
def test_gamma_and_lambda_may_be_any_number_from_0_to_1(compute_gae, draw):
    gammas = [0.0, 1.0, draw.number(0.05, 0.95)]
    pairs = [(gamma, lam) for gamma in gammas for lam in (0.0, 1.0, draw.number(0.05, 0.95))]
    for number, (gamma, lam) in enumerate(draw.shuffled(pairs)):
        phrase = "where gamma or lam is 0 or 1" if {gamma, lam} & {0.0, 1.0} else "for another gamma and lam"
        call = INPUTS.call(draw.numbered(number), draw.choice([PADDED, UNPADDED]))
        expect_advantages(compute_gae, call.with_arguments(phrase, gamma=gamma, lam=lam))
    # This is the formula of part 1, on the values of its own model.
    rollout = Circumstance("where gamma is 1, lam is 0 and the last token has the reward", rollout=True)
    for call in INPUTS.calls(draw, [rollout], each=2):
        expect_advantages(compute_gae, call.with_arguments(gamma=1.0, lam=0.0))
    # What comes dozens of tokens later counts almost as much as the next token.
    far = INPUTS.call(draw.numbered(-2), replace(UNPADDED, sizes={"texts": 2, "gen": 90}))
    for gamma, lam in ((1.0, 1.0), (draw.number(0.985, 0.999), draw.number(0.97, 0.99))):
        phrase = "for a gamma and lam of almost 1 and long texts"
        expect_advantages(compute_gae, far.with_arguments(phrase, gamma=gamma, lam=lam))
    small = INPUTS.call(draw.numbered(-1), replace(UNPADDED, sizes={"texts": 2, "gen": 80}))
    expect_advantages(compute_gae, small.with_arguments("for a small gamma and long texts", gamma=0.04, lam=0.5))
    # Powers of gamma * lam are too small for float64, too.
    longer = INPUTS.call(draw.numbered(-3), replace(UNPADDED, sizes={"texts": 2, "gen": 300}))
    expect_advantages(compute_gae, longer.with_arguments("for a small gamma and very long texts", gamma=0.04, lam=0.5))


@pytest.mark.points(1)
def test_advantages_carry_no_gradient(compute_gae, draw):
    for call in INPUTS.calls(draw, tokens_first([WITH_GRADIENT, WITH_GRAPH]), each=2):
        assert not expect_advantages(compute_gae, call).requires_grad, (
            "The advantages carry a gradient to the values or rewards: they are targets, made under torch.no_grad() or "
            "detached"
        )


@pytest.mark.points(1)
def test_every_circumstance_that_training_meets_gives_the_same_advantages(compute_gae, draw):
    found = [one for one in tokens_first(INPUTS.other_circumstances()) if not one.no_completion]
    for call in INPUTS.calls(draw, found):
        expect_advantages(compute_gae, call)
    for call in as_in_training(draw):
        expect_advantages(compute_gae, call)
    expect_results_stay(compute_gae, list(INPUTS.calls(draw, [PLAIN])), advantages, "The advantage")


@pytest.mark.points(1)
def test_the_result_has_the_form_and_dtype_of_the_values_and_the_inputs_stay_as_they_were(compute_gae, draw):
    expect_advantages(compute_gae, INPUTS.call(draw.numbered(0), PLAIN))
    for call in INPUTS.calls(draw, tokens_first(INPUTS.all_circumstances())):
        passed = call.passed()
        got = compute_gae(*passed)
        expect_form(got, call.right(advantages), call.subject("The advantage"), call.circumstance.dtype)
        expect_unchanged(call, passed)
    for number in (-1, -2):
        call = INPUTS.call(draw.numbered(number), *tokens_first([DOUBLE]))
        expect_advantages(compute_gae, call, **DOUBLE_PRECISION)
