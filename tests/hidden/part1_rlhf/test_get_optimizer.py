"""Hidden tests of `get_optimizer`: the optimizer is stepped on a small model of two parts, and seen by where it takes them.

AdamW's own weight decay and none are both right. Where a test is not about rates, both parts have the same.
"""

import pytest
import torch

from rlhf_course.checks.core import normal
from rlhf_course.grading.drivers.part1_rlhf.get_optimizer import SIZES
from rlhf_course.grading.judge.expect import expect
from rlhf_course.grading.sandbox.serialization import known_class_name

PARTS = {"base": "the transformer", "head": "the value head"}


def climbed(start, gradients, rates, decay):
    """AdamW by hand, ascending: where parameters are after each step."""
    where, first, second, path = start.double(), 0.0, 0.0, []
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        gradient = gradient.double()
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        ascent = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        where = where * (1 - rate * decay) + rate * ascent
        path.append(where)
    return torch.stack(path)


def expect_climb(seen, start, gradients, rates, what, why):
    """Ask that both parts went where AdamW takes them; `rates` for each part, one a step."""
    kind = known_class_name(seen["kind"][0])
    assert "after" in seen, f"get_optimizer should return an optimizer of torch.optim; a {kind} came"
    for number, (part, name) in enumerate(PARTS.items()):
        path = torch.stack([after[part] for after in seen["after"]])
        own = [pair[number] for pair in gradients]
        wanted = [climbed(start[part], own, rates[number], decay) - start[part].double() for decay in (0.01, 0.0)]
        unit = max(rates[number])  # steps are compared in units of the learning rate
        expect(
            (path.double() - start[part].double()) / unit,
            [one / unit for one in wanted],
            f"{what} {name}",
            why,
            rtol=1e-3,
            atol=1e-3,
        )


def zeros():
    return {part: torch.zeros(size) for part, size in SIZES.items()}


def constant(steps, signs):
    """The same gradients at each step, of the given signs, in each part."""
    return [[sign * torch.ones(size) for sign, size in zip(signs, SIZES.values(), strict=True)] for _ in range(steps)]


@pytest.mark.points(3)
def test_each_part_goes_up_its_gradient_at_the_rate_of_its_own(get_optimizer):
    for base_lr, head_lr in ((2e-5, 5e-4), (0.03, 0.007)):
        gradients = constant(2, (1.0, -1.0))
        seen = get_optimizer.steps(**zeros(), gradients=gradients, base_lr=base_lr, head_lr=head_lr)
        why = "the objective is maximised, the transformer moves by base_lr and the head by head_lr a step"
        expect_climb(seen, zeros(), gradients, [[base_lr] * 2, [head_lr] * 2], "The way of", why)


@pytest.mark.points(2)
def test_it_is_adamw_with_one_group_for_each_part_and_each_parameter_once(get_optimizer):
    gradients = constant(1, (1.0, 1.0))
    seen = get_optimizer.steps(**zeros(), gradients=gradients, base_lr=0.02, head_lr=0.02)
    expect_climb(
        seen, zeros(), gradients, [[0.02], [0.02]], "The first step of", "it is one learning rate up the gradient"
    )
    assert "AdamW" in seen["kind"], f"The optimizer should be AdamW; it is {known_class_name(seen['kind'][0])}"
    for part, name in PARTS.items():
        assert set(seen["times"][part]) == {1}, (
            f"Each parameter of {name} should be in the optimizer once; some are there more often"
        )
        assert seen["groups"][part] == 1, (
            f"The parameters of {name} should be in one group; they are spread over several"
        )
    assert not seen["shared"], "The transformer and the value head are in one group: each needs its own"


@pytest.mark.points(1.5)
def test_weights_decay_as_adamw_does_by_default_or_not_at_all(get_optimizer):
    start = {part: 20 + 3 * normal(size, seed=810) for part, size in SIZES.items()}
    gradients = constant(3, (1.0, 1.0))
    seen = get_optimizer.steps(**start, gradients=gradients, base_lr=0.02, head_lr=0.02)
    why = "leave the weight decay at AdamW's own, or set it to zero"
    expect_climb(seen, start, gradients, [[0.02] * 3] * 2, "With large weights, the way of", why)


@pytest.mark.points(1.5)
def test_steps_follow_adams_moments_and_a_schedule(get_optimizer):
    factors = [1.0, 0.5, 0.0, 2.0, 1.0]
    scales = (0.1, 1.0, 10.0, 0.1, 1.0)
    gradients = [
        [scale * normal(size, seed=820 + 2 * step + part) for part, size in enumerate(SIZES.values())]
        for step, scale in enumerate(scales)
    ]
    seen = get_optimizer.steps(**zeros(), gradients=gradients, base_lr=5e-4, head_lr=5e-4, factors=factors)
    rates = [5e-4 * factor for factor in factors]
    why = "leave AdamW's moments as they are by default, and its rates to the schedule"
    expect_climb(seen, zeros(), gradients, [rates, rates], "With changing gradients and rates, the way of", why)
