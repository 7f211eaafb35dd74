"""Define Muon in fp32: momentum, then the nearest orthogonal matrix by Newton-Schulz iterations.

torch's own Muon computes in bf16, which is slow on CPUs without bf16 units. Here matrices of one shape share a batched
product.

Source: Keller Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024).
"""

from __future__ import annotations

from collections import defaultdict

import torch
from jaxtyping import Float
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Float[Tensor, "n rows cols"], steps: int = 5) -> Float[Tensor, "n rows cols"]:
    """Move all singular values of each matrix towards 1."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """A minimising optimizer for two-dimensional weights inside the network, without embeddings, norms and biases.

    Args:
        params: the weights.
        lr: learning rate.
        momentum: decay of the momentum buffer.
        split: a weight whose longer side is this multiple of its shorter side is updated as that many square matrices
            (GPT-2's fused query-key-value matrix is three).
    """

    def __init__(self, params: list[Tensor], lr: float = 0.02, momentum: float = 0.95, split: int = 3) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self.split = split

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                buffer = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                buffer.mul_(group["momentum"]).add_(parameter.grad)
                update = parameter.grad + group["momentum"] * buffer  # Nesterov
                parts = self.split if max(parameter.shape) == self.split * min(parameter.shape) else 1
                for weight, direction in zip(parameter.chunk(parts, dim=1), update.chunk(parts, dim=1), strict=False):
                    by_shape[weight.shape].append((weight, direction))
            for shape, pairs in by_shape.items():
                scale = max(1.0, shape[1] / shape[0]) ** 0.5  # GPT-2 stores weights as [inputs, outputs]
                for (weight, _), direction in zip(
                    pairs, orthogonalise(torch.stack([direction for _, direction in pairs])), strict=False
                ):
                    weight.add_(direction, alpha=-group["lr"] * scale)
