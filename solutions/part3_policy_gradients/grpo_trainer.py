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
        ### BEGIN SOLUTION
        args = self.args
        repeated = [prompt for prompt in prompts for _ in range(args.group_size)]
        sampled = self.sample(repeated)
        mask = part3.completion_mask(sampled.completion_ids, self.eos_token_id)
        rewards = self.verify(repeated, sampled.texts)
        if args.baseline == "group":
            advantages = part3.group_advantages(rewards, args.group_size, scale_by_std=args.scale_by_std)
        else:
            advantages = part3.rloo_advantages(rewards, args.group_size)
        input_ids = torch.cat([sampled.prompt_ids, sampled.completion_ids], dim=1)
        attention_mask = torch.cat([sampled.prompt_mask, mask], dim=1)
        return GRPOBatch(
            input_ids=input_ids,
            attention_mask=attention_mask,
            completion_mask=mask,
            old_logprobs=self._logprobs(input_ids, attention_mask, mask.shape[1]),
            rewards=rewards,
            advantages=advantages[:, None].expand(mask.shape),
        )
        ### END SOLUTION

    def loss(self, batch: GRPOBatch) -> Float[Tensor, ""]:
        """The loss of a batch under the policy as it is now: `grpo_clip_loss` at each token, then `aggregate_loss`.

        The settings say how: `clip_low`, `clip_high`, `aggregation` and, for "constant", `max_new_tokens`.

        Args:
            batch: a rollout.

        Returns: a scalar with gradients to the policy. It is minimised; part 1's objective was maximised.
        """
        ### BEGIN SOLUTION
        args, mask = self.args, batch.completion_mask
        logprobs = self._logprobs(batch.input_ids, batch.attention_mask, mask.shape[1])
        token_loss = part3.grpo_clip_loss(logprobs, batch.old_logprobs, batch.advantages, args.clip_low, args.clip_high)
        max_length = args.max_new_tokens if args.aggregation == "constant" else None
        return part3.aggregate_loss(token_loss, mask, args.aggregation, max_length)

    def _logprobs(self, input_ids: Tensor, attention_mask: Tensor, gen_len: int) -> Tensor:
        logits = self.model(input_ids, attention_mask=attention_mask)[:, -gen_len - 1 : -1]
        return logits.log_softmax(dim=-1).gather(-1, input_ids[:, -gen_len:, None]).squeeze(-1)
        ### END SOLUTION
