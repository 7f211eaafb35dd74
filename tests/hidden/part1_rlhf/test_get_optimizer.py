"""Hidden tests of `get_optimizer`, which compare the parameters of a small model of two parts after some steps.

AdamW's default weight decay and none are both right. Both parts have the same learning rate in tests that are not about
learning rates.
"""

import pytest
import torch

from rlhf_course.checks.core import normal
from rlhf_course.grading.drivers.part1_rlhf.get_optimizer import SIZES
from rlhf_course.grading.judge.expect import expect
from rlhf_course.grading.sandbox.serialization import known_class_name

PARTS = {"base": "the transformer", "head": "the value head"}


def expected_path(start, gradients, rates, decay):
    """Return the parameters after each step of AdamW with `maximize=True`, computed by its formula."""
    parameters, first, second, path = start.double(), 0.0, 0.0, []
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        gradient = gradient.double()
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        ascent = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        parameters = parameters * (1 - rate * decay) + rate * ascent
        path.append(parameters)
    return torch.stack(path)


def expect_path(report, start, gradients, rates, subject, reason):
    """Compare the path of both parts with AdamW's; `rates` holds a list for each part, with a rate for each step."""
    kind = known_class_name(report["kind"][0])
    assert "after" in report, f"get_optimizer should return an optimizer of torch.optim; a {kind} came"
    for index, (part, name) in enumerate(PARTS.items()):
        path = torch.stack([after[part] for after in report["after"]])
        own = [pair[index] for pair in gradients]
        wanted = [expected_path(start[part], own, rates[index], decay) - start[part].double() for decay in (0.01, 0.0)]
        unit = max(rates[index])  # the paths are compared in units of the learning rate
        expect(
            (path.double() - start[part].double()) / unit,
            [path / unit for path in wanted],
            f"{subject} {name}",
            reason,
            rtol=1e-3,
            atol=1e-3,
        )


def zeros():
    """Return parameters that are zero, for each part."""
    return {part: torch.zeros(size) for part, size in SIZES.items()}


def constant(steps, signs):
    """Return gradients of 1 or -1 for each step, with one sign for each part."""
    return [[sign * torch.ones(size) for sign, size in zip(signs, SIZES.values(), strict=True)] for _ in range(steps)]


@pytest.mark.points(3)
def test_each_part_goes_up_its_gradient_at_the_rate_of_its_own(get_optimizer):
    for base_lr, head_lr in ((2e-5, 5e-4), (0.03, 0.007)):
        gradients = constant(2, (1.0, -1.0))
        report = get_optimizer.steps(**zeros(), gradients=gradients, base_lr=base_lr, head_lr=head_lr)
        reason = "the objective is maximised, the transformer moves by base_lr and the head by head_lr a step"
        expect_path(report, zeros(), gradients, [[base_lr] * 2, [head_lr] * 2], "The way of", reason)


@pytest.mark.points(2)
def test_it_is_adamw_with_one_group_for_each_part_and_each_parameter_once(get_optimizer):
    gradients = constant(1, (1.0, 1.0))
    report = get_optimizer.steps(**zeros(), gradients=gradients, base_lr=0.02, head_lr=0.02)
    expect_path(
        report, zeros(), gradients, [[0.02], [0.02]], "The first step of", "it is one learning rate up the gradient"
    )
    assert "AdamW" in report["kind"], f"The optimizer should be AdamW; it is {known_class_name(report['kind'][0])}"
    for part, name in PARTS.items():
        assert set(report["times"][part]) == {1}, (
            f"Each parameter of {name} should be in the optimizer once; some are there more often"
        )
        assert report["groups"][part] == 1, (
            f"The parameters of {name} should be in one group; they are spread over several"
        )
    assert not report["shared"], "The transformer and the value head are in one group: each needs its own"


@pytest.mark.points(1.5)
def test_weights_decay_as_adamw_does_by_default_or_not_at_all(get_optimizer):
    start = {part: 20 + 3 * normal(size, seed=810) for part, size in SIZES.items()}
    gradients = constant(3, (1.0, 1.0))
    report = get_optimizer.steps(**start, gradients=gradients, base_lr=0.02, head_lr=0.02)
    reason = "leave the weight decay at AdamW's default, or set it to zero"
    expect_path(report, start, gradients, [[0.02] * 3] * 2, "With large weights, the way of", reason)


@pytest.mark.points(1.5)
def test_steps_follow_adams_moments_and_a_schedule(get_optimizer):
    factors = [1.0, 0.5, 0.0, 2.0, 1.0]
    scales = (0.1, 1.0, 10.0, 0.1, 1.0)
    gradients = [
        [scale * normal(size, seed=820 + 2 * step + part) for part, size in enumerate(SIZES.values())]
        for step, scale in enumerate(scales)
    ]
    report = get_optimizer.steps(**zeros(), gradients=gradients, base_lr=5e-4, head_lr=5e-4, factors=factors)
    rates = [5e-4 * factor for factor in factors]
    reason = "leave AdamW's moments as they are by default, and its rates to the schedule"
    expect_path(report, zeros(), gradients, [rates, rates], "With changing gradients and rates, the way of", reason)
