"""Define the reference model, which the KL penalty measures the policy against."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from rlhf_course.rl.models import BridgeModel
from rlhf_course.rl.private_interfaces import TensorContent
from rlhf_course.rl.ref_logits import RecomputedLogits


@dataclass
class ForwardPass:
    """The result of a forward pass, which is identified without keeping its logits alive.

    Attributes:
        content: The content of the logits.
        logits: The same logits, stored as the states that they were computed from.
    """

    content: TensorContent
    logits: RecomputedLogits


class ReferenceModel(BridgeModel):
    """The pretrained model: frozen, in eval mode, without a value head.

    It remembers the last hidden states of its latest forward pass, so that a replay memory can store them in place of
    the logits.
    """

    def __init__(self, base_model: TransformerBridge, use_value_head: bool = False) -> None:
        super().__init__(base_model, use_value_head)
        self.requires_grad_(False)
        self.eval()
        self._latest: ForwardPass | None = None
        transformer: Any = base_model.original_model
        self._unembed: nn.Module = transformer.get_output_embeddings()

    def forward(self, input_ids: Int[Tensor, "batch seq"], return_type: str | None = "logits", **kwargs: Any) -> Any:
        """Return the transformer's logits, or what `return_type` names, as `BridgeModel.forward` does."""
        self._latest = None
        if return_type != "logits":
            return super().forward(input_ids, return_type, **kwargs)
        with self._unembed_inputs() as states:
            logits = super().forward(input_ids, **kwargs)
        if len(states) == 1 and isinstance(logits, Tensor) and logits.numel() and self._gives_logits(states[0], logits):
            content = TensorContent.of(logits)
            if content is not None:
                self._latest = ForwardPass(content, RecomputedLogits(states[0], self._unembed))
        return logits

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle holds: all but the latest forward pass."""
        return {**super().__getstate__(), "_latest": None}

    def pop_states(self, logits: Float[Tensor, "batch seq vocab"]) -> RecomputedLogits | None:
        """Return the states behind the logits of the latest forward pass, and forget them.

        Returns:
            None where `logits` are not, whole and unchanged, the result of the latest forward pass.
        """
        latest, self._latest = self._latest, None
        return latest.logits if latest is not None and latest.content.is_all_of(logits) else None

    @contextmanager
    def _unembed_inputs(self) -> Iterator[list[Tensor]]:
        """Yield a list, to which each input of the last layer is added until the block ends."""
        inputs: list[Tensor] = []
        hook = self._unembed.register_forward_pre_hook(lambda module, args: inputs.append(args[0].detach()))
        try:
            yield inputs
        finally:
            hook.remove()

    @torch.no_grad()
    def _gives_logits(
        self, states: Float[Tensor, "batch seq d_model"], logits: Float[Tensor, "batch seq vocab"]
    ) -> bool:
        """Return whether the logits are the output of the last layer, by the last token of the first text.

        Some models scale or cap them afterwards, and so may a hook.
        """
        some = logits[:1, -1:]
        # Products of other shapes round otherwise, by a part of the largest number.
        rounding = 1e-4 * some.abs().max().item()
        return torch.allclose(self._unembed(states[:1, -1:]), some, rtol=0, atol=rounding)
