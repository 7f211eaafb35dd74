"""Hidden tests of `get_optimizer`: an optimizer is known by its steps, which the judge recomputes.

AdamW's default weight decay and none are both right. Both parts have the same learning rate in tests that are not about
learning rates. Where steps start at zero with a tiny rate, weights stay so small that no weight decay shows.
"""

from functools import cache
from itertools import pairwise

import pytest
import torch

from rlhf_course.checks.tiny import VOCABULARY
from rlhf_course.grading.judge.adamw import Steps, expect_steps
from rlhf_course.grading.judge.compare import expect_torch_as_it_was, expect_values
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.sandbox.serialization import known_class_name

PARTS = {"base": "the transformer", "head": "the value head"}


def drawn_layers(draw, sizes, dtype, scale=0.3, offset=0.0):
    """Draw weights and biases of linear layers, of which each takes what the one before it gives."""
    tensors = []
    for inputs, outputs in pairwise(sizes):
        tensors += [offset + scale * draw.normal(outputs, inputs), offset + scale * draw.normal(outputs)]
    return [tensor.to(dtype) for tensor in tensors]


def drawn_parts(draw, dtype=torch.float64, scale=0.3, offset=0.0):
    """Draw the weights of a small model of two parts."""
    width = draw.integer(2, 4)
    base = [draw.integer(2, 4) for _ in range(draw.integer(2, 3))]
    head = [width, 4 * width, 1]
    return {
        "base": drawn_layers(draw, [*base, width], dtype, scale, offset),
        "head": drawn_layers(draw, head, dtype, scale, offset),
    }


def flat(tensors):
    """Return tensors as one vector."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def drawn_gradients(draw, sizes, dtype, spread=0.5, magnitude=1.0):
    """Draw one gradient for each size, whose entries have different magnitudes."""
    return [(magnitude * draw.normal(size).sign() * 10 ** (spread * draw.normal(size))).to(dtype) for size in sizes]


def sizes_of(parts):
    """Return the number of numbers in each part."""
    return [flat(tensors).numel() for tensors in parts.values()]


def after_steps(report, part):
    """Return the parameters of a part after each step."""
    kind = known_class_name(report.get("kind", "object"))
    assert "kind" not in report, f"get_optimizer should return an optimizer of torch.optim; a {kind} came"
    return torch.stack([after[part] for after in report["after"]])


def expect_parts(report, start, gradients, rates, phrase, why, **tolerance):
    """Compare the steps of both parts with AdamW's; `rates` holds for each part a rate for each step."""
    for index, (part, name) in enumerate(PARTS.items()):
        own = [pair[index] for pair in gradients]
        steps = Steps(start[part], own, rates[index], rates[1 - index])
        expect_steps(after_steps(report, part), steps, f"The change of {name} {phrase}".strip(), why, **tolerance)


@pytest.mark.points(2.5)
def test_each_part_goes_up_its_gradient_at_the_rate_of_its_own(get_optimizer, draw):
    low, high = (draw.number(1e-5, 5e-5), draw.number(2e-4, 1e-3)), (draw.number(0.02, 0.06), draw.number(2e-3, 0.01))
    without = draw.shuffled([0.0, draw.number(1e-5, 2e-5)])  # A rate of zero is a rate, too.
    for number, (base_lr, head_lr) in enumerate([*draw.shuffled([low, high, without]), low]):
        parts = drawn_parts(draw.numbered(number), torch.float32)
        gradients = [drawn_gradients(draw, sizes_of(parts), torch.float32)] * 3
        report = get_optimizer.steps(**parts, gradients=gradients, base_lr=base_lr, head_lr=head_lr)
        start = {part: flat(tensors) for part, tensors in parts.items()}
        why = "the objective is maximised, the transformer moves by base_lr and the head by head_lr a step"
        phrase = "of another model" if number == 3 else "where one rate is zero" if 0 in (base_lr, head_lr) else ""
        expect_parts(report, start, gradients, [[base_lr] * 3, [head_lr] * 3], phrase, why, atol=0.05)


@pytest.mark.points(1.5)
def test_steps_follow_adams_moments_as_gradients_change_or_stay(get_optimizer, draw):
    for number in range(3):
        parts = drawn_parts(draw.numbered(number), scale=0.0)
        sizes, count = sizes_of(parts), draw.integer(5, 7)
        gradients = [drawn_gradients(draw, sizes, torch.float64, 2.0, 0.01) for _ in range(count)]
        rate, is_kept = draw.number(1e-13, 1e-12), number == 2
        if is_kept:  # Every step meets the same tensors, which no step may change.
            gradients = gradients[:1] * count
        report = get_optimizer.steps(**parts, gradients=gradients, base_lr=rate, head_lr=rate, is_gradient_kept=is_kept)
        start = {part: flat(tensors) for part, tensors in parts.items()}
        rates = [[rate] * count] * 2
        phrase = "where several steps are taken on one gradient" if is_kept else "with changing gradients"
        why = "leave AdamW's betas and its eps at their defaults, and the gradients as they are"
        expect_parts(report, start, gradients, rates, phrase, why, atol=2e-5)


@pytest.mark.points(1)
def test_weights_decay_as_adamw_does_by_default_or_not_at_all(get_optimizer, draw):
    parts = drawn_parts(draw, scale=4.0, offset=draw.number(15, 30))
    gradients = [drawn_gradients(draw, sizes_of(parts), torch.float64)] * 3
    rate = draw.number(0.01, 0.03)
    report = get_optimizer.steps(**parts, gradients=gradients, base_lr=rate, head_lr=rate)
    start = {part: flat(tensors) for part, tensors in parts.items()}
    why = "leave the weight decay at AdamW's default, or set it to zero"
    expect_parts(
        report, start, gradients, [[rate] * 3] * 2, "with large weights", why, atol=1e-3, is_any_decay_right=False
    )


@pytest.mark.points(1)
def test_a_schedule_can_give_each_part_a_factor_of_its_own(get_optimizer, draw):
    parts, count = drawn_parts(draw, scale=0.0), 5
    gradients = [drawn_gradients(draw, sizes_of(parts), torch.float64)] * count
    rate = draw.number(1e-13, 1e-12)
    factors = [draw.shuffled([0.0, draw.number(0.2, 0.5), draw.number(0.6, 0.9), 1.0, 2.0]) for _ in PARTS]
    report = get_optimizer.steps(**parts, gradients=gradients, base_lr=rate, head_lr=rate, factors=factors)
    assert "groups" not in report, (
        "A schedule with one factor for each part does not fit: there should be two parameter groups, one for each part"
    )
    start = {part: flat(tensors) for part, tensors in parts.items()}
    first, second = ([rate * factor for factor in own] for own in factors)
    why = "each group's rate is the schedule's, and each part is a group"
    # The groups may be in either order.
    swapped = torch.allclose(*_first_changes(report, start, gradients, second), rtol=1e-3, atol=1e-3 * rate)
    rates = [second, first] if swapped else [first, second]
    expect_parts(report, start, gradients, rates, "with a schedule", why, atol=1e-3)


def _first_changes(report, start, gradients, rates):
    """Return the change of the transformer, and AdamW's for some rates."""
    steps = Steps(start["base"], [pair[0] for pair in gradients], rates, rates)
    return after_steps(report, "base") - start["base"], steps.adamw()


@cache
def transformer_sizes():
    """Return the number of numbers in the tiny GPT-2 and its head."""
    return reference_answers().answer("get_optimizer").sizes()


def drawn_training(draw):
    """Draw the inputs of the driver `training`: rates and schedule as in a real run, on a GPT-2 with a value head.

    Returns:
        The inputs, and the right gradients of the driver's backward pass.
    """
    texts, seq, width, vocabulary = draw.integer(2, 3), draw.integer(3, 6), 24, len(VOCABULARY)
    sizes = transformer_sizes()
    warmup_steps = draw.integer(1, 2)
    inputs = {
        "base": 0.3 * draw.normal(sizes["base"]),
        "head": 0.3 * draw.normal(sizes["head"]),
        "settings": {
            "base_lr": draw.number(1.5e-5, 6e-5),
            "head_lr": draw.number(3e-4, 9e-4),
            "warmup_steps": warmup_steps,
            "total_phases": warmup_steps + draw.integer(3, 5),
            "final_scale": draw.number(0.05, 0.3),
        },
        "inputs": {
            "input_ids": draw.integers(0, vocabulary - 1, texts, seq),
            "of_logits": 0.1 * draw.normal(texts, seq, vocabulary),
            "resid": draw.normal(texts, seq, width),
            "of_values": draw.normal(texts, seq),
        },
        "gradients": [drawn_gradients(draw, sizes.values(), torch.float32)] * 4,
    }
    return inputs, reference_answers().answer("get_optimizer").training(**inputs)["backward"]


def scheduled_rates(settings, count):
    """Return the transformer's and the head's rate in each phase."""
    warmup, total = settings["warmup_steps"], settings["total_phases"]
    factors = [
        phase / warmup
        if phase < warmup
        else 1 - (1 - settings["final_scale"]) * min(1.0, (phase - warmup) / (total - warmup))
        for phase in range(count)
    ]
    return [[settings[name] * factor for factor in factors] for name in ("base_lr", "head_lr")]


@pytest.mark.points(2)
def test_a_transformer_with_a_value_head_learns_at_the_rates_of_the_trainers_schedule(get_optimizer, draw):
    inputs, wanted = draw.once(drawn_training)
    report = get_optimizer.training(**inputs)
    rates = scheduled_rates(inputs["settings"], len(inputs["gradients"]))
    why = "every parameter of both parts is in its group, and the trainer's schedule changes the groups' rates"
    start = {part: inputs[part] for part in PARTS}
    expect_parts(report, start, inputs["gradients"], rates, "in a training", why, atol=0.05)
    for part, name in PARTS.items():
        gradient = report["backward"][part]
        assert gradient is not None, (
            f"After get_optimizer a backward pass gives no gradient to some parameters of {name}: do not freeze them"
        )
        scale = float(wanted[part].abs().max())
        subject = f"The gradient of {name} in a backward pass after get_optimizer"
        expect_values(gradient / scale, wanted[part] / scale, subject, "leave the model as it is", rtol=1e-3, atol=1e-4)
    changed = [
        words for words in ("its training mode", "which parameters require a gradient") if words in report["left"]
    ]
    assert not changed, f"get_optimizer changes the model, {changed[0]}: leave the model as it is"
    expect_torch_as_it_was(report, "get_optimizer")
