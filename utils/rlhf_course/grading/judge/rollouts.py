"""Draw inputs from a recorded rollout of the embedded model: what the functions receive in training."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rlhf_course.grading.judge.draw import Draw

# Made by `recipes/rollout.py`.
ROLLOUT = Path(__file__).parent / "rollout.npz"
_MINIBATCH = 2
# Logits and values are moved a little, so that nobody knows them from the file.
_LOGIT_NOISE, _VALUE_NOISE = 0.125, 0.03


@dataclass(frozen=True)
class Minibatch:
    """Some sequences of a rollout, in an order that is drawn.

    Attributes:
        tokens: The token ids, shape [minibatch, seq].
        logits: The policy's logits, shape [minibatch, seq, vocab].
        ref_logits: The reference's logits, of the same shape.
        prefix_len: The number of tokens before the generated ones.
    """

    tokens: Tensor
    logits: Tensor
    ref_logits: Tensor
    prefix_len: int

    @property
    def gen_len(self) -> int:
        """The number of generated tokens."""
        return self.tokens.shape[1] - self.prefix_len

    def generated(self, per_position: Tensor) -> Tensor:
        """Return the slice of a tensor at the positions that predict a generated token, as the trainer takes it."""
        return per_position[:, -self.gen_len - 1 : -1]


@cache
def _recorded() -> dict[str, np.ndarray]:
    with np.load(ROLLOUT) as file:
        return {name: file[name] for name in file.files}


def drawn_minibatch(draw: Draw) -> Minibatch:
    """Draw some of the recorded sequences."""
    recorded = _recorded()
    chosen = draw.distinct_integers(0, len(recorded["logits"]) - 1, _MINIBATCH)
    logits, ref_logits = (torch.from_numpy(recorded[name][chosen]).float() for name in ("logits", "ref_logits"))
    return Minibatch(
        torch.from_numpy(recorded["tokens"][chosen]).long(),
        logits + _LOGIT_NOISE * draw.normal(*logits.shape),
        ref_logits + _LOGIT_NOISE * draw.normal(*logits.shape),
        int(recorded["prefix_len"]),
    )


def drawn_values(draw: Draw) -> tuple[Tensor, Tensor, int]:
    """Draw the values and rewards of some of the recorded sequences, and the length of their prefix."""
    recorded = _recorded()
    chosen = draw.distinct_integers(0, len(recorded["values"]) - 1, draw.integer(6, 16))
    values = torch.from_numpy(recorded["values"][chosen])
    rewards = torch.from_numpy(recorded["rewards"][chosen])
    return values + _VALUE_NOISE * draw.normal(*values.shape), rewards, int(recorded["prefix_len"])


def drawn_texts(draw: Draw) -> list[str]:
    """Draw some of the recorded texts, which begin with the end-of-text token, as those of the trainer do."""
    texts = [str(text) for text in _recorded()["texts"]]
    return draw.sample(texts, draw.integer(6, 16))
