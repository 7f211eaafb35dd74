"""A reward model: a transformer that reads a text and gives it one number."""

import torch
from jaxtyping import Bool, Float, Int
from rlhf_course import BridgeModel
from torch import Tensor, nn


class RewardModel(BridgeModel):
    """A transformer with a reward head on the residual stream of each text's last token.

    The base class boots the transformer (`RewardModel.from_pretrained("embedded")`), stores what `make_reward_head`
    returns as `self.reward_head`, and gives `final_residual(input_ids, attention_mask)`: the normalised residual stream
    at every position, shape [batch, seq, d_model], in which padding on either side has no effect on real tokens.
    """

    def make_reward_head(self, d_model: int) -> nn.Linear:
        """A linear layer from `d_model` to one number.

        Its weights are normal random numbers of standard deviation 1 / sqrt(d_model + 1), and its bias is 0.

        Source: Stiennon et al. 2020, Learning to summarize from human feedback, appendix B.1.
        """
        ### BEGIN SOLUTION
        head = nn.Linear(d_model, 1)
        nn.init.normal_(head.weight, std=(d_model + 1) ** -0.5)
        nn.init.zeros_(head.bias)
        return head
        ### END SOLUTION

    def forward(
        self, input_ids: Int[Tensor, "batch seq"], attention_mask: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch"]:
        """The reward of each text: the head on the residual stream of the text's last real token.

        Args:
            input_ids: the token ids. Those of padding are arbitrary, and may be the end-of-text token, which may also
                be a real token: only the mask says what is real.
            attention_mask: True at real tokens, False at padding, which stands on either side of a text.

        Returns: one number a text, the same as without padding; gradients reach the head and the transformer.

        Raises:
            ValueError: a row has no real token; the message holds the row's index.
        """
        ### BEGIN SOLUTION
        real = attention_mask.bool()
        if without := (~real.any(dim=1)).nonzero().flatten().tolist():
            raise ValueError(f"row {without[0]} has no real token, so it has no reward")
        last = (torch.arange(real.shape[1], device=real.device) * real).amax(dim=1)
        resid = self.final_residual(input_ids, attention_mask)
        return self.reward_head(resid[torch.arange(len(last)), last]).squeeze(-1)
        ### END SOLUTION
