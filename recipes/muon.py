"""Muon in fp32: momentum, then the nearest orthogonal matrix by Newton-Schulz iterations.

Source: Keller Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024). torch's own runs in bf16, which
CPUs without bf16 units do slowly. Matrices of one shape are handled in one batched product.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from jaxtyping import Float
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Float[Tensor, "n rows cols"], steps: int = 5) -> Float[Tensor, "n rows cols"]:
    """Push all singular values of each matrix towards 1."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Minimises; for two-dimensional weights inside the network (not embeddings, not norms, not biases).

    Args:
        split: a weight whose longer side is this multiple of its shorter one is updated as that many square parts
            (GPT-2's fused query-key-value matrix is three).
    """

    def __init__(self, params: list[Tensor], lr: float = 0.02, momentum: float = 0.95, split: int = 3) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self.split = split

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.mul_(group["momentum"]).add_(p.grad)
                update = p.grad + group["momentum"] * buffer  # Nesterov
                parts = self.split if max(p.shape) == self.split * min(p.shape) else 1
                for weight, direction in zip(p.chunk(parts, dim=1), update.chunk(parts, dim=1), strict=False):
                    by_shape[weight.shape].append((weight, direction))
            for shape, pairs in by_shape.items():
                scale = max(1.0, shape[1] / shape[0]) ** 0.5  # GPT-2 keeps weights as [inputs, outputs]
                for (weight, _), direction in zip(
                    pairs, orthogonalise(torch.stack([d for _, d in pairs])), strict=False
                ):
                    weight.add_(direction, alpha=-group["lr"] * scale)
