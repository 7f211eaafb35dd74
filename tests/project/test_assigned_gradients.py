"""Test that fused optimizers take right steps, however a gradient that somebody assigned lies in memory."""

import pytest
import torch
from torch import nn

from rlhf_course.rl.fused import fuse_optimizer


def stepped(gradient: torch.Tensor, fused: bool) -> torch.Tensor:
    """Return a parameter after a step of AdamW on a gradient."""
    parameter = nn.Parameter(torch.arange(12.0).reshape(3, 4))
    optimizer = torch.optim.AdamW([parameter], lr=0.1)
    if fused:
        fuse_optimizer(optimizer)
    parameter.grad = gradient
    optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_a_fused_step_is_that_of_the_plain_optimizer_for_a_gradient_of_any_layout(layout: str) -> None:
    gradient = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    laid_out = gradient if layout == "contiguous" else gradient.T.contiguous().T
    torch.testing.assert_close(stepped(laid_out, fused=True), stepped(gradient, fused=False))


def test_an_optimizer_of_a_parameter_that_is_not_contiguous_is_not_fused() -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(4, 3).T)])
    fuse_optimizer(optimizer)
    assert not optimizer.param_groups[0]["fused"]


def test_a_chosen_implementation_stays() -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(3))], foreach=False)
    fuse_optimizer(optimizer)
    assert not optimizer.param_groups[0]["fused"]
