"""The reference model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from transformer_lens.model_bridge import TransformerBridge

from rlhf_course.rl.models import BridgeModel
from rlhf_course.rl.ref_logits import LastStates, Reading


class ReferenceModel(BridgeModel):
    """The pretrained model, frozen, in eval mode and without a value head. It remembers which states its latest logits came from."""

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
            Reading.latest = Reading(place, logits._version, LastStates(seen[0], self._unembed))
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
