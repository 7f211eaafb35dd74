"""Write the judge's weights to models that extend `BridgeModel`; the drivers of such classes use these."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.grading.drivers.plain import plain, shapes
from rlhf_course.rl.models import BridgeModel


def for_subclasses(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Let a driver run only answers that extend `BridgeModel`, and return its result as plain data."""

    @wraps(function)
    def wrapper(answer: Any, **inputs: Any) -> dict[str, Any]:
        if not (isinstance(answer, type) and issubclass(answer, BridgeModel)):
            return {"base class": False}
        observation: dict[str, Any] = plain(function(answer, **inputs))
        return observation

    return wrapper


def named_parameters(model: Any) -> dict[str, nn.Parameter]:
    """Return the transformer's parameters by name, without the names of wrapped components."""
    return parameters_of_bridge(model.base_model)


def parameters_of_bridge(bridge: Any) -> dict[str, nn.Parameter]:
    """Return the parameters of a bridge by name, without the names of wrapped components."""
    named = nn.Module.named_parameters(bridge)
    return {name.replace("._original_component", ""): parameter for name, parameter in named}


def fill(
    model: Any, head: nn.Module | None, transformer: Mapping[str, Tensor], weights: Sequence[Tensor]
) -> list[list[int]] | None:
    """Write weights to a model, or return the shapes of its head's parameters if they are others.

    Args:
        model: The model.
        head: The head of the model; None if it has none.
        transformer: The weights of the transformer by name.
        weights: The weights of the head in order.
    """
    parameters = [] if head is None else list(head.parameters())
    if parameters and shapes(parameters) != shapes(weights):
        return shapes(parameters)
    write(parameters, weights)
    write_by_name(named_parameters(model), transformer)
    return None


@contextmanager
def callers_hooks(bridge: Any) -> Iterator[Callable[[Tensor], bool]]:
    """Let a transformer have hooks of a caller's in the block, which a call of an answer has to leave there.

    At the last normalisation and before the first block, one is TransformerLens's, and another a permanent one of
    TransformerLens's; one is PyTorch's.

    Args:
        bridge: The transformer.

    Yields:
        A function that takes token ids, and returns whether all hooks run, each once, in a pass of the transformer.
    """
    ran: list[str] = []
    for point in (BridgeModel.HOOK_POINT, "blocks.0.hook_in"):
        bridge.add_hook(point, lambda activation, hook: ran.append("added"))
        bridge.add_perma_hook(point, lambda activation, hook: ran.append("permanent"))
    handle = bridge.blocks[0].register_forward_hook(lambda *_: ran.append("of a module"))

    @torch.no_grad()
    def all_run(input_ids: Tensor) -> bool:
        ran.clear()
        bridge(input_ids)
        return sorted(ran) == ["added", "added", "of a module", "permanent", "permanent"]

    try:
        yield all_run
    finally:
        handle.remove()
        bridge.reset_hooks(including_permanent=True)


def write_by_name(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Write weights to the parameters of the same names."""
    write([parameters[name] for name in weights], list(weights.values()))


def write(parameters: Sequence[Tensor], weights: Sequence[Tensor]) -> None:
    """Write weights to parameters."""
    with torch.no_grad():
        for parameter, numbers in zip(parameters, weights, strict=False):
            parameter.copy_(numbers)
