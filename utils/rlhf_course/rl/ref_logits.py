"""The reference's logits of a rollout, kept small: by the last states that they are one product away from."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

Rows = Int[Tensor, "rows"] | slice


@dataclass
class KeptLogits:
    """Logits as they are."""

    logits: Float[Tensor, "batch seq vocab"]

    def rows(self, indices: Rows) -> Float[Tensor, "rows seq vocab"]:
        """Those of the chosen texts."""
        return self.logits[indices]


@dataclass
class LastStates:
    """Logits as the states that they are made from: 768 numbers a token for GPT-2, in place of 50,257."""

    states: Float[Tensor, "batch seq d_model"]
    unembed: nn.Module

    @torch.no_grad()
    def rows(self, indices: Rows) -> Float[Tensor, "rows seq vocab"]:
        """Those of the chosen texts, made again."""
        return self.unembed(self.states[indices])


@dataclass
class Reading:
    """Which logits came last, told by where they lie and how often they had been written to, and what they were made from."""

    latest: ClassVar["Reading | None"] = None

    place: StorageWeakRef
    version: int
    states: LastStates

    def gave(self, logits: Float[Tensor, "batch seq vocab"]) -> bool:
        """Whether these are those logits, whole and as they came."""
        same_memory = StorageWeakRef(logits.untyped_storage()).cdata == self.place.cdata and not self.place.expired()
        whole = (
            logits.is_contiguous() and logits.shape[:2] == self.states.states.shape[:2] and logits.storage_offset() == 0
        )
        return same_memory and whole and logits._version == self.version


def without_waste(ref_logits: Float[Tensor, "batch seq vocab"]) -> KeptLogits | LastStates:
    """Logits by their states, where they are the very ones that a reference model gave last; else as they are."""
    latest, Reading.latest = Reading.latest, None
    if latest is not None and not ref_logits.is_inference() and latest.gave(ref_logits):
        return latest.states
    return KeptLogits(ref_logits)
