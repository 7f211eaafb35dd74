"""Tiny language models booted ahead of time, for a process that forks once for each answer it runs."""

from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from rlhf_course.checks import tiny
from rlhf_course.rl import models


def preload(count: int) -> None:
    """Boot so many tiny models, which every process forked from this one then has at hand.

    No backward pass runs: after one, a process can fork, and its children can compute no gradients.
    """
    with mock.patch.object(models, "freeze_unused_parameters", _freeze_by_the_graph):
        pool = tiny.model_pool()
        while len(pool) < count:
            pool.append(tiny.PooledModel(models.load_model(tiny.gpt2_folder(), device="cpu")))


def _freeze_by_the_graph(bridge: Any) -> None:
    parameters = models.bridge_parameters(bridge)
    for parameter in parameters:
        parameter.requires_grad_(True)
    used = _leaves(bridge(torch.zeros((1, 2), dtype=torch.long)))
    for parameter in parameters:
        parameter.requires_grad_(id(parameter) in used)


def _leaves(result: Tensor) -> set[int]:
    """The parameters that a result depends on, by the graph that a backward pass would walk."""
    found, seen, ahead = set(), set(), [result.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(leaf := getattr(node, "variable", None), nn.Parameter):
            found.add(id(leaf))
        ahead += [parent for parent, _ in node.next_functions]
    return found
