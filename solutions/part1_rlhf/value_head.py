"""The critic: a value head on the transformer that is also the actor."""

from typing import Any

from jaxtyping import Float, Int
from rlhf_course import BridgeModel
from torch import Tensor, nn


class HookedTransformerWithValueHead(BridgeModel):
    """A transformer whose last residual stream is also read by a value head.

    The base class boots the transformer, holds it as `base_model`, and gives `fwd_hooks`: a list that runs
    `run_value_head` on the residual stream after the last layer's normalisation, before it is unembedded.
    """

    def make_value_head(self, d_model: int) -> nn.Sequential:
        """The value head: from `d_model` to 4 * `d_model`, a ReLU, and down to one number, all with biases."""
        ### BEGIN SOLUTION
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1))
        ### END SOLUTION

    def run_value_head(self, resid: Float[Tensor, "batch seq d_model"], hook: Any) -> None:
        """Keep the values of a residual stream in `self.value_head_output`, of shape [batch, seq].

        Args:
            resid: the normalised residual stream at every position.
            hook: the hook point that calls this function; not needed.
        """
        ### BEGIN SOLUTION
        self.value_head_output = self.value_head(resid).squeeze(-1)
        ### END SOLUTION

    def forward_with_value_head(
        self, input_ids: Int[Tensor, "batch seq"]
    ) -> tuple[Float[Tensor, "batch seq vocab"], Float[Tensor, "batch seq"] | None]:
        """Logits and values of every position in one forward pass.

        `value_head_output` is cleared before, and holds this call's values after. The transformer keeps the hooks that
        it had before, and no other. Gradients reach the head and the transformer.

        Args:
            input_ids: the token ids.

        Returns: the logits, and the values: None where there is no value head.
        """
        ### BEGIN SOLUTION
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=self.fwd_hooks)
        return logits, self.value_head_output
        ### END SOLUTION
