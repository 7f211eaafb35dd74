"""A pooled model is handed out as it was loaded, whatever the answer before did to it."""

import pytest
import torch
from torch import Tensor

from rlhf_course.checks.tiny import gpt2_folder, on_the_cpu, reused_models
from rlhf_course.rl import models

IDS = torch.tensor([[1, 2, 3, 4]])


def logits_and_gradients() -> list[Tensor]:
    """Return the logits of a model from the pool, and the gradients of its parameters."""
    model = models.load_model(gpt2_folder())
    logits = model(IDS)
    (logits * torch.arange(logits.numel()).reshape(logits.shape)).sum().backward()
    return [logits.detach(), *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)]


def turn_gradients(model) -> None:
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_hook(torch.neg)


def drop_gradients(model) -> None:
    def drop(parameter: Tensor) -> None:
        parameter.grad = torch.zeros_like(parameter)

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(drop)


def double_outputs(model) -> None:
    for module in list(model.modules())[1:]:
        module.register_forward_hook(lambda module, inputs, output: 2 * output if isinstance(output, Tensor) else None)


def freeze_and_zero(model) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(False).zero_()


@pytest.mark.parametrize("change", [turn_gradients, drop_gradients, double_outputs, freeze_and_zero])
def test_what_one_answer_does_to_a_pooled_model_does_not_reach_the_next(change):
    with on_the_cpu():
        with reused_models():
            wanted = logits_and_gradients()
        with reused_models():
            change(models.load_model(gpt2_folder()))
        with reused_models():
            came = logits_and_gradients()
    assert len(came) == len(wanted) and all(map(torch.equal, came, wanted))
