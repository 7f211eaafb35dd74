"""Hidden tests of `bradley_terry_loss`."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import BEYOND_FLOAT32, DOUBLE, ORDINARY, Circumstance, Floats, Inputs
from rlhf_course.grading.judge.compare import (
    DOUBLE_PRECISION,
    expect_form,
    expect_results_stay,
    expect_unchanged,
    expect_value_error,
    expect_values,
    gradient_at,
    is_right,
)

WHY = "it is the mean over pairs of -log sigmoid(chosen reward - rejected reward - margin)"
REWARDS = {"chosen_rewards": Floats(("pairs",), scale=1.5), "rejected_rewards": Floats(("pairs",), scale=1.5)}
INPUTS = Inputs(sizes={"pairs": (2, 9)}, arguments=REWARDS, words={"pairs": "one pair"}, extreme=10_000)
WITH_MARGIN = Inputs(
    sizes={"pairs": (2, 9)},
    arguments={**REWARDS, "margin": Floats(("pairs",), scale=0.8, mean=0.5, differentiable=False)},
    words={"pairs": "one pair"},
    extreme=10_000,
)
MANY = INPUTS.many()


def logistic(chosen_rewards, rejected_rewards, margin=0.0):
    """Return the loss of each pair, by the logarithm of a sum of exponentials."""
    difference = chosen_rewards - rejected_rewards - margin
    return torch.logaddexp(torch.zeros_like(difference), -difference)


def loss(chosen_rewards, rejected_rewards, margin=0.0):
    """Return the mean loss."""
    return logistic(chosen_rewards, rejected_rewards, margin).mean()


def chosen_gradient(chosen_rewards, rejected_rewards, margin=0.0):
    """Return the gradient of the loss with respect to the chosen rewards, derived by hand."""
    return -torch.sigmoid(rejected_rewards + margin - chosen_rewards) / len(chosen_rewards)


def expect_loss(bradley_terry_loss, call, subject="The loss", why=WHY, **tolerance):
    """Require the right loss in one call."""
    got = bradley_terry_loss(*call.passed())
    tolerance = {"rtol": 2e-5, "atol": 2e-6} | tolerance  # A loss that is rounded to four decimals is refused.
    return expect_values(got, call.right(loss), call.subject(subject), why, call, loss, **tolerance)


def expect_gradients(bradley_terry_loss, call):
    """Require the right gradients at both rewards in one call."""
    for argument, sign in ((0, 1), (1, -1)):
        passed = call.passed()
        passed[argument].requires_grad_(True)
        got = bradley_terry_loss(*passed)
        mended = expect_values(got, call.right(loss), call.subject("The loss"), WHY, call, loss)
        subject = call.subject(f"The gradient at the {('chosen', 'rejected')[argument]} reward")
        why = "it is a share of a pair, with the other sign for the other text: detach nothing"
        gradient = gradient_at(passed[argument], mended, subject)
        expect_values(gradient, sign * call.right(chosen_gradient), subject, why, call, rtol=1e-3)


@pytest.mark.points(2)
def test_the_loss_is_the_mean_of_minus_the_log_probability_of_the_preference(bradley_terry_loss, draw):
    for call in INPUTS.calls(draw, [*INPUTS.size_circumstances(), MANY], each=2):
        expect_loss(bradley_terry_loss, call)


@pytest.mark.points(1.5)
def test_gradients_reach_both_rewards(bradley_terry_loss, draw):
    for call in INPUTS.calls(draw, [*INPUTS.size_circumstances(), replace(MANY, sizes={"pairs": 32})]):
        expect_gradients(bradley_terry_loss, call)
    further = list(INPUTS.calls(draw, INPUTS.further_gradient_circumstances()))
    for call in [*further, WITH_MARGIN.call(draw.numbered(-1))]:
        if is_right(bradley_terry_loss, call, [loss]):
            expect_gradients(bradley_terry_loss, call)


@pytest.mark.points(1.5)
def test_differences_of_any_size_give_finite_numbers_and_gradients(bradley_terry_loss, draw):
    for call in INPUTS.calls(draw, [INPUTS.extreme_entries()], each=3):
        expect_loss(bradley_terry_loss, call, why="it is not capped, and logsigmoid gives it", rtol=1e-3)
        expect_gradients(bradley_terry_loss, call)
    ordinary = WITH_MARGIN.call(draw.numbered(-2))
    if is_right(bradley_terry_loss, ordinary, [loss]):  # Another test requires that a margin is used.
        for number in (-3, -4, -5):
            call = WITH_MARGIN.call(draw.numbered(number), WITH_MARGIN.extreme_entries())
            expect_loss(bradley_terry_loss, call, "The loss with a margin", "logsigmoid gives it, too", rtol=1e-3)


@pytest.mark.points(1)
def test_a_margin_is_subtracted_from_the_difference(bradley_terry_loss, draw):
    for call in WITH_MARGIN.calls(draw, WITH_MARGIN.size_circumstances(), each=2):
        negative = call.with_arguments("for negative margins", margin=-call.exact["margin"].abs().float() - 0.25)
        expect_loss(bradley_terry_loss, negative, "The loss with a margin")
        expect_loss(bradley_terry_loss, call, "The loss with a margin")
    call = INPUTS.call(draw.numbered(0))
    got = bradley_terry_loss(*call.passed(), None)
    expect_values(got, call.right(loss), "The loss with a margin of None", WHY, call, loss)
    further = [DOUBLE]
    if is_right(bradley_terry_loss, INPUTS.call(draw.numbered(-8), MANY), [loss]):  # Another test requires this.
        further.append(WITH_MARGIN.many())
    for call in WITH_MARGIN.calls(draw.numbered(-1), further):
        got = bradley_terry_loss(*call.passed())
        expect_values(got, call.right(loss), call.subject("The loss with a margin"), WHY, call, loss)


@pytest.mark.points(1)
def test_every_circumstance_that_training_meets_gives_the_same_loss(bradley_terry_loss, draw):
    for call in INPUTS.calls(draw, INPUTS.other_circumstances()):
        expect_loss(bradley_terry_loss, call)
    expect_results_stay(bradley_terry_loss, list(INPUTS.calls(draw, [ORDINARY])), loss, "The loss")


@pytest.mark.points(0.5)
def test_no_pair_at_all_is_a_value_error(bradley_terry_loss, draw):
    expect_loss(bradley_terry_loss, INPUTS.call(draw))
    for margin in ((), (torch.zeros(0),)):
        expect_value_error(bradley_terry_loss, [torch.zeros(0), torch.zeros(0), *margin], "A batch without a pair")


@pytest.mark.points(0.5)
def test_the_loss_is_one_number_of_the_inputs_dtype_and_the_inputs_stay_as_they_were(bradley_terry_loss, draw):
    expect_loss(bradley_terry_loss, INPUTS.call(draw.numbered(0)))
    for call in INPUTS.calls(draw, [Circumstance(sizes={"pairs": 3}), *INPUTS.all_circumstances()]):
        passed = call.passed()
        got = bradley_terry_loss(*passed)
        expect_form(got, torch.tensor(0.0), call.subject("The loss"), call.circumstance.dtype)
        expect_unchanged(call, passed)
    expect_loss(bradley_terry_loss, INPUTS.call(draw.numbered(-1), BEYOND_FLOAT32))
    for number in range(-5, -1):
        expect_loss(bradley_terry_loss, INPUTS.call(draw.numbered(number), DOUBLE), **DOUBLE_PRECISION)
    for number in range(-9, -5):
        call = WITH_MARGIN.call(draw.numbered(number), DOUBLE)
        passed = call.passed()
        bradley_terry_loss(*passed)
        expect_unchanged(call, passed)
        if is_right(bradley_terry_loss, call, [loss]):  # Another test requires that a margin is used.
            expect_loss(bradley_terry_loss, call, "The loss with a margin", **DOUBLE_PRECISION)
