"""Hidden tests of `dpo_loss`."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import (
    BEYOND_FLOAT32,
    DOUBLE,
    ORDINARY,
    Circumstance,
    Floats,
    Inputs,
    Number,
)
from rlhf_course.grading.judge.compare import (
    DOUBLE_PRECISION,
    expect_form,
    expect_gradients_off,
    expect_torch_as_it_was,
    expect_unchanged,
    expect_values,
    gradient_at,
    is_right,
)

POLICY = ("policy_chosen_logps", "policy_rejected_logps")
REFERENCE = ("reference_chosen_logps", "reference_rejected_logps")
LOSS = "it is -log sigmoid(beta * (log-ratio of chosen - log-ratio of rejected)), pair by pair"
REWARD = "it is beta times the policy's log-probability minus the reference's"
INPUTS = Inputs(
    sizes={"pairs": (2, 9)},
    arguments={
        **{name: Floats(("pairs",), scale=2.0, mean=-20.0) for name in (*POLICY, *REFERENCE)},
        "beta": Number(0.05, 0.8),
    },
    words={"pairs": "one pair"},
    extreme=10_000,
)
MANY = INPUTS.many()
# The values have five to six digits before they are subtracted.
ROUNDED = {"rtol": 1e-3, "atol": 1e-4}


def chosen_reward(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    """Return the implicit rewards of the chosen texts."""
    return beta * (policy_chosen_logps - reference_chosen_logps)


def rejected_reward(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    """Return the implicit rewards of the rejected texts."""
    return beta * (policy_rejected_logps - reference_rejected_logps)


def loss(**arguments):
    """Return the losses, by the logarithm of a sum of exponentials."""
    difference = chosen_reward(**arguments) - rejected_reward(**arguments)
    return torch.logaddexp(torch.zeros_like(difference), -difference)


def weight(**arguments):
    """Return the derivative of each loss with respect to the policy's log-probability of the chosen text."""
    return -arguments["beta"] * torch.sigmoid(rejected_reward(**arguments) - chosen_reward(**arguments))


RESULTS = (
    ("The loss", loss, LOSS),
    ("The reward of the chosen text", chosen_reward, REWARD),
    ("The reward of the rejected text", rejected_reward, REWARD),
)


def three(got):
    """Return the three results of a call."""
    is_three = isinstance(got, tuple | list) and len(got) == len(RESULTS)
    assert is_three, "dpo_loss should return three results: losses, rewards of the chosen and rewards of the rejected"
    return got


def expect_results(dpo_loss, call, got=None, **tolerance):
    """Require the three right results of one call, and return them mended."""
    got = three(dpo_loss(*call.passed()) if got is None else got)
    return [
        expect_values(part, call.right(formula), call.subject(subject), why, call, formula, **(ROUNDED | tolerance))
        for part, (subject, formula, why) in zip(got, RESULTS, strict=True)
    ]


def expect_gradients(dpo_loss, call):
    """Require the right gradients of the losses at the policy's log-probabilities in one call."""
    for number, words in enumerate(("chosen", "rejected")):
        passed = call.passed()
        passed[number].requires_grad_(True)
        losses = expect_results(dpo_loss, call, dpo_loss(*passed))[0]
        assert losses.requires_grad, f"No gradient of the loss reaches the policy's log-probability of the {words} text"
        subject = call.subject(f"The gradient at the policy's log-probability of the {words} text")
        gradient = gradient_at(passed[number], losses.sum(), subject)
        wanted = (1 - 2 * number) * call.right(weight)
        expect_values(gradient, wanted, subject, "it is beta times a probability", call, rtol=2e-3, atol=1e-5)


@pytest.mark.points(2.5)
def test_the_loss_and_the_rewards_are_those_of_each_pair(dpo_loss, draw):
    for call in INPUTS.calls(draw, [ORDINARY, *INPUTS.size_circumstances(), MANY]):
        expect_results(dpo_loss, call)


@pytest.mark.points(1)
def test_beta_scales_the_log_ratios_inside_the_sigmoid(dpo_loss, draw):
    for number, beta in enumerate(draw.shuffled([draw.number(0.005, 0.02), 1.0, draw.number(2, 6)])):
        call = INPUTS.call(draw.numbered(number)).with_arguments("with another beta", beta=beta)
        expect_results(dpo_loss, call)


@pytest.mark.points(2.5)
def test_gradients_reach_the_policys_log_probabilities(dpo_loss, draw):
    for call in INPUTS.calls(draw, [*INPUTS.size_circumstances(), Circumstance(sizes={"pairs": 30})]):
        expect_gradients(dpo_loss, call)
    # At the first step of a training all differences are 0: without a gradient there, nothing is ever learnt.
    first = INPUTS.call(draw.numbered(-1))
    same = {name: first.exact[other].float() for name, other in zip(POLICY, REFERENCE, strict=True)}
    first = first.with_arguments("for a policy that is the reference", **same)
    for call in [first, *INPUTS.calls(draw, INPUTS.further_gradient_circumstances())]:
        if is_right(dpo_loss, call, [formula for _, formula, _ in RESULTS], **ROUNDED):
            expect_gradients(dpo_loss, call)


def _has_gradient(dpo_loss, call):
    """Return whether the losses carry a gradient where the policy's log-probabilities alone require one."""
    passed = replace(call, circumstance=ORDINARY).passed()
    passed[0].requires_grad_(True)
    return expect_results(dpo_loss, call, dpo_loss(*passed))[0].requires_grad


@pytest.mark.points(1.5)
def test_no_gradient_reaches_the_reference_and_the_rewards_carry_none(dpo_loss, draw):
    for call in INPUTS.calls(draw, [replace(ORDINARY, requires_grad=True), replace(ORDINARY, requires_grad=True)]):
        passed = call.passed()
        got = three(dpo_loss(*passed))
        losses = expect_results(dpo_loss, call, got)[0]
        assert not any(getattr(part, "requires_grad", False) for part in got[1:]), (
            "The rewards carry a gradient: they are for the record, so detach them"
        )
        if not losses.requires_grad:
            assert not _has_gradient(dpo_loss, call), (
                "No gradient of the loss reaches the policy where the reference's log-probabilities require one, too"
            )
            continue
        reference = [tensor for tensor in passed[2:4] if tensor.requires_grad]  # Another test requires that both do.
        gradients = torch.autograd.grad(losses.sum(), reference, allow_unused=True) if reference else ()
        for gradient in gradients:
            assert gradient is None or not bool(gradient.any()), (
                "A gradient of the loss reaches the reference's log-probabilities: the reference is a constant"
            )


@pytest.mark.points(2)
def test_differences_of_any_size_give_finite_numbers_and_gradients(dpo_loss, draw):
    for call in INPUTS.calls(draw, [INPUTS.extreme_entries()], each=3):
        expect_results(dpo_loss, call)
        expect_gradients(dpo_loss, call)


def expect_earlier_results_stay(dpo_loss, calls):
    """Require that results are right after later calls, too, and that gradients are not switched off."""
    probe = torch.arange(1.0, 4.0)
    report = dpo_loss.results_of_calls(calls=[call.passed() for call in calls], probe=probe)
    for got, call in zip(report["results"], calls, strict=True):
        expect_results(dpo_loss, replace(call, circumstance=Circumstance("after a later call")), got)
    expect_torch_as_it_was(report)
    expect_gradients_off(report)


@pytest.mark.points(1.5)
def test_every_circumstance_that_training_meets_gives_the_same_results(dpo_loss, draw):
    for call in INPUTS.calls(draw, INPUTS.other_circumstances()):
        expect_results(dpo_loss, call)
    expect_earlier_results_stay(dpo_loss, list(INPUTS.calls(draw, [ORDINARY])))


@pytest.mark.points(1)
def test_the_results_have_one_number_a_pair_in_the_inputs_dtype_and_the_inputs_stay_as_they_were(dpo_loss, draw):
    expect_results(dpo_loss, INPUTS.call(draw.numbered(0)))
    for call in INPUTS.calls(draw, INPUTS.all_circumstances()):
        passed = call.passed()
        for part, (subject, formula, _) in zip(three(dpo_loss(*passed)), RESULTS, strict=True):
            expect_form(part, call.right(formula), call.subject(subject), call.circumstance.dtype)
        expect_unchanged(call, passed)
    expect_results(dpo_loss, INPUTS.call(draw.numbered(-1), BEYOND_FLOAT32))
    for number in (-2, -3):
        expect_results(dpo_loss, INPUTS.call(draw.numbered(number), DOUBLE), **DOUBLE_PRECISION)
