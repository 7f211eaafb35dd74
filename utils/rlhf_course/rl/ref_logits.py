"""Store the reference model's logits as the last hidden states that they are computed from."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Indices = Int[Tensor, "rows"] | slice


@dataclass
class RecomputedLogits:
    """Logits that are computed again whenever some of them are read.

    GPT-2's hidden state of a token has 768 numbers, and its logits 50,257.

    Attributes:
        states: Float[batch, seq, d_model], the last hidden states.
        unembed: The model's last layer, which maps hidden states to logits.
    """

    states: Float[Tensor, "batch seq d_model"]
    unembed: nn.Module

    @torch.no_grad()
    def __getitem__(self, indices: Indices) -> Float[Tensor, "rows seq vocab"]:
        return self.unembed(self.states[indices])
