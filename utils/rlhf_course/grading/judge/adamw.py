"""Recompute the steps of AdamW, and name the optimizer whose steps a wrong result shows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop

from rlhf_course.grading.judge.compare import expect_values

# AdamW's default weight decay, and none.
RIGHT_DECAYS = (0.01, 0.0)
_DEFAULT_RATE = 1e-3
# An optimizer is compared with the steps of so many parameters before it is compared with those of all.
_FEW = 256
_OTHER_BETAS = ((0.9, 0.95), (0.9, 0.99), (0.95, 0.999), (0.8, 0.999), (0.5, 0.999), (0.0, 0.999), (0.99, 0.999))
_OTHER_EPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-10, 0.0)

PathOf: TypeAlias = Callable[["Steps"], Tensor]
"""A function that returns how far parameters are from the start after each step of an optimizer."""


@dataclass(frozen=True)
class Steps:
    """The steps of an optimizer with one group of parameters.

    Attributes:
        start: The parameters before the first step, shape (size,).
        gradients: The gradient of each step, each of shape (size,).
        rates: The learning rate of each step.
        other_rates: The learning rates of the other group of parameters.
    """

    start: Tensor
    gradients: Sequence[Tensor]
    rates: Sequence[float]
    other_rates: Sequence[float]

    def of_few(self) -> "Steps":
        """Return the steps of the first parameters alone, which do not depend on those of the others."""
        gradients = [gradient[:_FEW] for gradient in self.gradients]
        return Steps(self.start[:_FEW], gradients, self.rates, self.other_rates)

    def adamw(
        self,
        decay: float = 0.0,
        rates: Sequence[float] | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        sign: int = 1,
        is_corrected: bool = True,
    ) -> Tensor:
        """Return how far the parameters are from the start after each step of AdamW, shape (steps, size).

        Args:
            decay: The weight decay.
            rates: The learning rates; by default those of these steps.
            betas: The decay rates of the two moments.
            eps: The number that is added to the square root of the second moment.
            sign: 1 to maximise, -1 to minimise.
            is_corrected: Whether the moments are divided by their bias.
        """
        start = self.start.double()
        parameters, path = start, []
        first, second = torch.zeros_like(start), torch.zeros_like(start)
        for step, (gradient, rate) in enumerate(zip(self.gradients, rates or self.rates, strict=True), start=1):
            first = betas[0] * first + (1 - betas[0]) * sign * gradient.double()
            second = betas[1] * second + (1 - betas[1]) * gradient.double() ** 2
            biases = [1 - beta**step if is_corrected else 1.0 for beta in betas]
            ascent = first / biases[0] / ((second / biases[1]).sqrt() + eps)
            parameters = parameters * (1 - rate * decay) + rate * torch.nan_to_num(ascent)
            path.append(parameters - start)
        return torch.stack(path)

    def of(self, make: Callable[[list[Tensor]], Any], times: int = 1) -> Tensor:
        """Return how far the parameters are from the start after each step of an optimizer of torch.

        Args:
            make: Makes the optimizer for a list of parameters.
            times: How often each step is taken.
        """
        start = self.start.double()
        parameter = start.clone().requires_grad_(True)
        optimizer, path = make([parameter]), []
        for gradient, rate in zip(self.gradients, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate
            parameter.grad = gradient.double()
            for _ in range(times):
                optimizer.step()
            path.append(parameter.detach() - start)
        return torch.stack(path)


def expect_steps(
    got: Tensor, steps: Steps, subject: str, why: str, atol: float = 1e-4, is_any_decay_right: bool = True
) -> None:
    """Assert that parameters take the steps of AdamW.

    Args:
        got: The parameters after each step, shape (steps, size).
        steps: The steps.
        subject: What changes in words, such as "The change of the value head".
        why: What the right steps are.
        atol: The tolerance, in units of the largest learning rate, which is the other group's where this one has none.
        is_any_decay_right: Whether any weight decay is right, or only AdamW's default and none.

    Raises:
        AssertionError: The steps differ; the message names the optimizer whose steps they are, if one is found.
    """
    unit = max(steps.rates) or max(steps.other_rates)
    change = (got.double() - steps.start.double()) / unit
    right = [steps.adamw(decay) / unit for decay in RIGHT_DECAYS]
    nearest = _nearest(change, right)
    if is_any_decay_right and not torch.allclose(change, nearest, rtol=atol, atol=atol):
        fitting = steps.adamw(_fitting_decay(steps, change * unit)) / unit
        nearest = _nearest(change, [*right, fitting])
    try:
        expect_values(change, nearest, subject, why, rtol=atol, atol=atol)
    except AssertionError as error:
        relation = _shown_relation(change, right, steps, unit, atol)
        raise AssertionError(f"{subject} {relation}") if relation else error from error


def _nearest(change: Tensor, paths: Sequence[Tensor]) -> Tensor:
    """Return for each parameter the path, of several, that is nearest to its change, shape (steps, size)."""
    errors = torch.stack([(change - path).abs().amax(dim=0) for path in paths])
    return torch.stack(list(paths)).gather(0, errors.argmin(dim=0).expand(1, *paths[0].shape))[0]


def _shown_relation(change: Tensor, right: Sequence[Tensor], steps: Steps, unit: float, atol: float) -> str:
    """Return what a change shows, as the end of a sentence; empty if nothing fits, or several optimizers do.

    Args:
        change: How far the parameters are from the start after each step, in units of the learning rate.
        right: The right changes.
        steps: The steps.
        unit: The unit.
        atol: The tolerance.
    """
    if not bool(torch.isfinite(change).all()):
        return "is not finite (nan or inf)"
    if not bool(change.any()):
        return "is none: its parameters are not among those that the optimizer steps"
    moved = change.ne(0).any(dim=0)
    for path in right:
        if not bool(moved.all()) and torch.allclose(change[:, moved], path[:, moved], rtol=atol, atol=atol):
            return "is right, but some of its parameters do not move"
        jump = change - path
        if torch.allclose(jump, jump[:1].expand_as(jump), rtol=atol, atol=atol):
            return "is right, but for a change that no step makes: leave the model's weights as they are"
    for alternatives in (_alternatives(steps), _fitted(steps, change * unit)):
        found = {sentence for sentence, path_of in alternatives if _is_path(change, path_of, steps, unit, atol)}
        if found:  # Several that fit would be a guess.
            return found.pop() if len(found) == 1 else ""
    return ""


def _is_path(change: Tensor, path_of: PathOf, steps: Steps, unit: float, atol: float) -> bool:
    """Return whether an optimizer gives a change, which is in units of the learning rate."""
    few = path_of(steps.of_few()) / unit
    if not torch.allclose(change[:, : few.shape[1]], few, rtol=atol, atol=atol):
        return False
    return few.shape == change.shape or torch.allclose(change, path_of(steps) / unit, rtol=atol, atol=atol)


def _alternatives(steps: Steps) -> Iterator[tuple[str, PathOf]]:
    """Yield wrong optimizers in words, each with a function that returns its change of the parameters."""
    default_rates = [_DEFAULT_RATE] * len(steps.rates)
    for decay in RIGHT_DECAYS:
        adamw = partial(Steps.adamw, decay=decay)
        yield "goes down the objective, which is to be maximised", partial(adamw, sign=-1)
        yield "is that of the other part's learning rate", partial(adamw, rates=steps.other_rates)
        yield "is that of AdamW's default learning rate", partial(adamw, rates=default_rates)
        for betas in _OTHER_BETAS:
            yield "is that of AdamW with other betas than its default ones", partial(adamw, betas=betas)
        for eps in _OTHER_EPS:
            yield "is that of AdamW with another eps than its default one", partial(adamw, eps=eps)
        yield "is that of moments without bias correction", partial(adamw, is_corrected=False)
        make = partial(AdamW, weight_decay=decay, maximize=True)
        yield "is that of AMSGrad", partial(Steps.of, make=partial(make, amsgrad=True))
        yield "is that of steps that are taken twice", partial(Steps.of, make=make, times=2)
    yield from _other_optimizers()


def _fitted(steps: Steps, change: Tensor) -> Iterator[tuple[str, PathOf]]:
    """Yield AdamW with the learning rate, and with the weight decay, that fit a change best."""
    is_constant = len(set(steps.rates)) == 1
    words = "another learning rate" if is_constant else "one learning rate throughout, without a schedule"
    rates = [_fitting_rate(steps, change)] * len(steps.rates)
    for decay in RIGHT_DECAYS:
        yield f"is that of {words}", partial(Steps.adamw, decay=decay, rates=rates)
    words = "another weight decay than the default: leave it out, or set it to zero"
    yield f"is that of AdamW with {words}", partial(Steps.adamw, decay=_fitting_decay(steps, change))


def _other_optimizers() -> Iterator[tuple[str, PathOf]]:
    for decay in (0.001, 0.01, 0.1):
        make: Callable[..., Any] = partial(Adam, weight_decay=decay, maximize=True)
        yield "is that of L2 decay, which is added to the gradient, as AdamW's is not", partial(Steps.of, make=make)
    for momentum in (0.0, 0.9):
        make = partial(SGD, lr=1.0, momentum=momentum, maximize=True)
        yield "is that of gradient ascent (SGD)", partial(Steps.of, make=make)
    for kind in (NAdam, RAdam, RMSprop, Adagrad, Adamax):
        yield f"is that of {kind.__name__}", partial(Steps.of, make=partial(kind, maximize=True))


def _fitting_decay(steps: Steps, change: Tensor) -> float:
    """Return the weight decay that fits the first step that moves anything best."""
    first = next((index for index, rate in enumerate(steps.rates) if rate), 0)
    without, weights = steps.adamw()[first], -steps.rates[first] * steps.start.double()
    square = float((weights * weights).sum())
    return float(((change[first] - without) * weights).sum()) / square if square else 0.0


def _fitting_rate(steps: Steps, change: Tensor) -> float:
    """Return the learning rate that fits the first step best."""
    direction = steps.adamw(rates=[1.0] * len(steps.rates))[0]
    return float((change[0] * direction).sum() / (direction * direction).sum())
