"""The two methods that make a policy better at a reward that can be checked."""

import part3_policy_gradients as part3
import torch
from jaxtyping import Float
from rlhf_course import GroupTrainer, GRPOBatch
from torch import Tensor


class GRPOTrainer(GroupTrainer):
    """Rollouts and their loss; the base class samples, steps the optimizer, and runs and records the phases.

    Call your own functions as `part3.group_advantages` and so on, so that each is looked up when it is needed. The base
    class gives:

    - `self.sample(prompts)`: one completion for each prompt of a list, with `prompt_ids` and `prompt_mask` (prompts are
      padded on the left), `completion_ids` (what follows a completion's end is end-of-text tokens) and `texts`;
    - `self.verify(prompts, texts)`: the reward of each completion;
    - `self.model(input_ids, attention_mask=...)`: logits; `self.eos_token_id`; and the settings, `self.args`.
    """

    @torch.no_grad()
    def rollout(self, prompts: list[str]) -> GRPOBatch:
        """Sample a group of completions for each prompt, and keep what learning from them needs.

        Each prompt gets `self.args.group_size` completions, which stand together. Where `self.args.baseline` is
        "group", the advantages are those of `group_advantages`, divided by the group's deviation if
        `self.args.scale_by_std`; where it is "leave_one_out", those of `rloo_advantages`.

        Args:
            prompts: the prompts, each once.

        Returns: the batch; nothing in it carries a gradient.
        """
        raise NotImplementedError("write this part")

    def loss(self, batch: GRPOBatch) -> Float[Tensor, ""]:
        """The loss of a batch under the policy as it is now: `grpo_clip_loss` at each token, then `aggregate_loss`.

        The settings say how: `clip_low`, `clip_high`, `aggregation` and, for "constant", `max_new_tokens`.

        Args:
            batch: a rollout.

        Returns: a scalar with gradients to the policy. It is minimised; part 1's objective was maximised.
        """
        raise NotImplementedError("write this part")
