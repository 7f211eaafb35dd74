"""The reference model, and how its logits are kept small: by the last states that they are one product away from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from transformer_lens.model_bridge import TransformerBridge

from rlhf_course.rl.models import BridgeModel

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

    place: StorageWeakRef
    version: int
    states: LastStates

    def gave(self, logits: Float[Tensor, "batch seq vocab"]) -> bool:
        """Whether these are those logits, whole and as they came."""
        same_memory = StorageWeakRef(logits.untyped_storage()).cdata == self.place.cdata and not self.place.expired()
        whole = logits.is_contiguous() and logits.shape[:2] == self.states.states.shape[:2] and logits.storage_offset() == 0
        return same_memory and whole and logits._version == self.version


class ReferenceModel(BridgeModel):
    """The pretrained model, frozen, in eval mode and without a value head. It remembers which states its latest logits came from."""

    latest: Reading | None = None

    def __init__(self, base_model: TransformerBridge, use_value_head: bool = False) -> None:
        super().__init__(base_model, use_value_head)
        self.requires_grad_(False)
        self.eval()
        self._unembed: nn.Module = base_model.original_model.get_output_embeddings()
        self._one_product = self._logits_are_one_product()

    def forward(self, input_ids: Int[Tensor, "batch seq"], **kwargs: Any) -> Float[Tensor, "batch seq vocab"]:
        """The transformer's logits."""
        with self._states_seen() as seen:
            logits = super().forward(input_ids, **kwargs)
        if self._one_product and len(seen) == 1 and isinstance(logits, Tensor) and not logits.is_inference():
            place = StorageWeakRef(logits.untyped_storage())
            ReferenceModel.latest = Reading(place, logits._version, LastStates(seen[0], self._unembed))
        return logits

    @contextmanager
    def _states_seen(self) -> Iterator[list[Tensor]]:
        """While it lasts, the states that are turned into logits are added to the list."""
        seen: list[Tensor] = []
        watch = self._unembed.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
        try:
            yield seen
        finally:
            watch.remove()

    @torch.no_grad()
    def _logits_are_one_product(self) -> bool:
        """Whether logits are what the last layer makes of the last states: some models scale or cap them after it."""
        with self._states_seen() as seen:
            logits = super().forward(torch.zeros(1, 2, dtype=torch.long, device=self.cfg.device))
        return len(seen) == 1 and torch.allclose(self._unembed(seen[0]), logits, atol=1e-5, rtol=1e-5)


def without_waste(ref_logits: Float[Tensor, "batch seq vocab"]) -> KeptLogits | LastStates:
    """Logits by their states, where they are the very ones that a reference model gave last; else as they are."""
    latest, ReferenceModel.latest = ReferenceModel.latest, None
    if latest is not None and not ref_logits.is_inference() and latest.gave(ref_logits):
        return latest.states
    return KeptLogits(ref_logits)
