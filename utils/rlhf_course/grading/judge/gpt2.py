"""Recompute a GPT-2 and its value head in double precision, from weights that the judge draws."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf_course.grading.judge.draw import Draw

# The name of a parameter of TransformerLens's bridge holds this word for each component that it wraps.
_WRAPPED = "._original_component"
_EPS = 1e-5


@dataclass(frozen=True)
class Shape:
    """The sizes of a GPT-2."""

    vocab: int
    positions: int
    width: int
    layers: int
    heads: int

    def parameters(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield the short name and the shape of each parameter that logits depend on, in the bridge's order."""
        width = self.width
        yield "embed.weight", (self.vocab, width)
        yield "pos_embed.weight", (self.positions, width)
        for layer in range(self.layers):
            sizes: dict[str, tuple[int, ...]] = {"ln_1": (width,)}
            sizes |= {f"attn.{name}": (width, width) for name in "qkvo"}
            sizes |= {"ln_2": (width,), "mlp.c_fc": (width, 4 * width), "mlp.c_proj": (4 * width, width)}
            for name, size in sizes.items():
                yield f"blocks.{layer}.{name}.weight", size
                yield f"blocks.{layer}.{name}.bias", size[-1:]
        yield "ln_final.weight", (width,)
        yield "ln_final.bias", (width,)

    def head_shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of the value head's parameters."""
        return [(4 * self.width, self.width), (4 * self.width,), (1, 4 * self.width), (1,)]


def short_name(name: str) -> str:
    """Return the short name of a parameter of the bridge."""
    return name.replace(_WRAPPED, "")


@dataclass(frozen=True)
class Outputs:
    """What a transformer and its value head give for a batch of texts.

    Attributes:
        logits: The logits, shape (batch, seq, vocab).
        resid: The last residual stream, normalised, before the norm's scale and bias, shape (batch, seq, width).
        others: Other streams of that shape, by what they are in words.
    """

    logits: Tensor
    resid: Tensor
    others: Mapping[str, Tensor]


def drawn_weights(draw: Draw, shape: Shape, scale: float = 0.3) -> dict[str, Tensor]:
    """Draw float32 weights of a GPT-2, by short name; the scales of its norms lie around 1."""
    return {
        name: scale * draw.normal(*size) + (1.0 if "ln_" in name and name.endswith("weight") else 0.0)
        for name, size in shape.parameters()
    }


def drawn_head(draw: Draw, width: int, scale: float = 0.4) -> list[Tensor]:
    """Draw float32 weights of a value head: weight and bias of the first layer, and of the second."""
    return [scale * draw.normal(*size) for size in Shape(1, 1, width, 1, 1).head_shapes()]


def run(weights: Mapping[str, Tensor], heads: int, input_ids: Tensor) -> Outputs:
    """Compute a GPT-2's forward pass in the dtype of its weights.

    Args:
        weights: The weights by short name.
        heads: The number of attention heads.
        input_ids: Token ids, shape (batch, seq).
    """
    seq = input_ids.shape[1]
    resid = weights["embed.weight"][input_ids] + weights["pos_embed.weight"][:seq]
    others = {"the embedding": resid}
    layer = 0
    while f"blocks.{layer}.ln_1.weight" in weights:
        block = {name.removeprefix(f"blocks.{layer}."): weight for name, weight in weights.items()}
        resid = resid + _attention(block, heads, _scaled(block, "ln_1", _normalised(resid)))
        others[f"the residual stream within block {layer}"] = resid
        resid = resid + _mlp(block, _scaled(block, "ln_2", _normalised(resid)))
        others[f"the residual stream after block {layer}"] = resid
        layer += 1
    del others[f"the residual stream after block {layer - 1}"]
    others["the last residual stream before it is normalised"] = resid
    normalised = _normalised(resid)
    final = _scaled(weights, "ln_final", normalised)
    others["the last residual stream after the norm's learned scale and bias"] = final
    return Outputs(final @ weights["embed.weight"].T, normalised, others)


def head_values(head: list[Tensor], resid: Tensor, activation: Any = torch.relu) -> Tensor:
    """Return the values of a head for a residual stream, shape (batch, seq)."""
    up, up_bias, down, down_bias = head
    return (activation(resid @ up.T + up_bias) @ down.T + down_bias)[..., 0]


def _normalised(resid: Tensor) -> Tensor:
    centred = resid - resid.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + _EPS).sqrt()


def _scaled(weights: Mapping[str, Tensor], name: str, normalised: Tensor) -> Tensor:
    return normalised * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _attention(block: Mapping[str, Tensor], heads: int, stream: Tensor) -> Tensor:
    """Return causal self-attention; the bridge holds its weights as (outputs, inputs), and GPT-2's `o` otherwise."""
    batch, seq, width = stream.shape
    q, k, v = (
        (stream @ block[f"attn.{name}.weight"].T + block[f"attn.{name}.bias"])
        .reshape(batch, seq, heads, width // heads)
        .transpose(1, 2)
        for name in "qkv"
    )
    scores = q @ k.transpose(-1, -2) / (width // heads) ** 0.5
    later = torch.ones(seq, seq, dtype=torch.bool).triu(1)
    mixed = scores.masked_fill(later, -torch.inf).softmax(-1) @ v
    mixed = mixed.transpose(1, 2).reshape(batch, seq, width)
    return mixed @ block["attn.o.weight"] + block["attn.o.bias"]


def _mlp(block: Mapping[str, Tensor], stream: Tensor) -> Tensor:
    hidden = stream @ block["mlp.c_fc.weight"] + block["mlp.c_fc.bias"]
    hidden = torch.nn.functional.gelu(hidden, approximate="tanh")
    return hidden @ block["mlp.c_proj.weight"] + block["mlp.c_proj.bias"]
