"""Load tiny language models ahead of time, for a process that forks once for each answer."""

from typing import Any
from unittest import mock

from torch import Tensor, nn

from rlhf_course.checks import tiny
from rlhf_course.rl import models
from rlhf_course.rl.cache_check import probe_ids


def preload(count: int) -> None:
    """Load some tiny models into the pool of `tiny`, from which every process that is forked later takes them.

    No backward pass runs here: once a process has run one, its forked children can compute no gradients.
    """
    with mock.patch.object(models, "freeze_unused_parameters", _freeze_by_the_graph):
        pool = tiny.model_pool()
        while len(pool) < count:
            pool.append(tiny.PooledModel(models.load_model(tiny.gpt2_folder(), device="cpu")))


def _freeze_by_the_graph(bridge: Any) -> Tensor:
    """Do what `freeze_unused_parameters` does, without a backward pass."""
    parameters = models.bridge_parameters(bridge)
    for parameter in parameters:
        parameter.requires_grad_(True)
    logits: Tensor = bridge(probe_ids(bridge))
    used = _parameter_ids(logits)
    for parameter in parameters:
        parameter.requires_grad_(id(parameter) in used)
    return logits.detach()


def _parameter_ids(result: Tensor) -> set[int]:
    """Return the ids of the parameters that a result depends on, by a walk over its autograd graph."""
    ids: set[int] = set()
    visited: set[Any] = set()
    stack: list[Any] = [result.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        if isinstance(leaf := getattr(node, "variable", None), nn.Parameter):
            ids.add(id(leaf))
        stack += [parent for parent, _ in node.next_functions]
    return ids
