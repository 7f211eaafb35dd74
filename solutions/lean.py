"""The reference trainer without its waste: the same objective and the same record, in less time and memory.

`rlhf-course train --lean` trains with it. It is an answer, so it stays with the solutions. What it saves, beside the plain
trainer of part1_rlhf/trainer.py:

- log-probabilities and values are kept while sampling, which has computed them: no forward pass of the policy after it;
- logits are computed at the positions that chose a token, and the last token, which chooses none, is not read;
- of the reference its last hidden states are kept, 768 numbers a token for GPT-2 in place of 50,257: a minibatch's logits
  are computed from them when it is learnt from;
- log-probabilities, entropy and KL share one log-softmax, and their gradient is written down rather than traced.
"""

from dataclasses import dataclass
from typing import Any

import part1_rlhf
import torch
from jaxtyping import Float, Int
from rlhf_course import ReplayMemory, calc_clipped_surrogate_objective, calc_value_function_loss
from rlhf_course.rl.recording import record
from rlhf_course.rl.samples import generate, prompt_tokens, sample_token
from torch import Tensor
from torch.autograd.function import once_differentiable


class TokenTerms(torch.autograd.Function):
    """Log-probability of the chosen token, entropy, and KL to the reference, at each position.

    With log p the log-softmax of the logits z, H the entropy and K the KL:
    dlog p(chosen)/dz = onehot - p,   dH/dz = -p (log p + H),   dK/dz = p (log p - log q - K).
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, ref_logprobs: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logprobs = logits.log_softmax(-1)
        probabilities = logprobs.exp()
        entropy = -torch.linalg.vecdot(probabilities, logprobs)
        kl = -entropy - torch.linalg.vecdot(probabilities, ref_logprobs)
        ctx.save_for_backward(logprobs, probabilities, ref_logprobs, chosen, entropy, kl)
        return logprobs.gather(-1, chosen[..., None]).squeeze(-1), entropy, kl

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_chosen: Tensor, to_entropy: Tensor, to_kl: Tensor) -> tuple[Tensor, None, None]:
        logprobs, probabilities, ref_logprobs, chosen, entropy, kl = ctx.saved_tensors
        gradient = logprobs * (to_kl - to_entropy)[..., None]
        gradient.addcmul_(ref_logprobs, to_kl[..., None], value=-1)
        gradient.sub_((to_chosen + to_entropy * entropy + to_kl * kl)[..., None])
        gradient.mul_(probabilities)
        gradient.scatter_add_(-1, chosen[..., None], to_chosen[..., None])
        return gradient, None, None


@dataclass
class LeanMinibatch:
    """The sequences of one optimizer step; `rows` is where they are in the memory."""

    rows: Int[Tensor, "minibatch"]
    sample_ids: Int[Tensor, "minibatch seq"]
    logprobs: Float[Tensor, "minibatch gen_len"]
    advantages: Float[Tensor, "minibatch gen_len"]
    returns: Float[Tensor, "minibatch gen_len"]
    ref_hidden: Float[Tensor, "minibatch gen_len d_model"]


class LeanMemory(ReplayMemory):
    """A rollout with the reference's last hidden states in place of its logits."""

    def __init__(self, args: Any, sample_ids: Tensor, logprobs: Tensor, advantages: Tensor, values: Tensor, ref_hidden: Tensor) -> None:
        self.args = args
        self.sample_ids = sample_ids
        self.logprobs = logprobs
        self.advantages = advantages
        self.returns = advantages + values
        self.ref_hidden = ref_hidden
        self.ref_logprobs = torch.zeros_like(logprobs)

    def rows(self, indices: Any) -> LeanMinibatch:
        """The chosen sequences as a minibatch."""
        parts = (self.sample_ids, self.logprobs, self.advantages, self.returns, self.ref_hidden)
        return LeanMinibatch(indices, *(part[indices] for part in parts))


class LeanTrainer(part1_rlhf.RLHFTrainer):
    """The reference's trainer with another rollout and another way to its objective; its learning phase is the same."""

    lean = True

    @torch.no_grad()
    def rollout_phase(self) -> LeanMemory:
        """Sample, keeping log-probabilities and values; then read the texts with the reference, a minibatch at a time."""
        args, bridge = self.args, self.model.base_model
        logprobs: list[Tensor] = []
        values: list[Tensor] = []

        def choose(logits: Tensor) -> Tensor:
            token = sample_token(logits, args.temperature, args.top_k)
            logprobs.append(logits.gather(-1, token[:, None]).squeeze(-1) - logits.logsumexp(-1))
            values.append(self.model.value_head_output[:, -1].expand(args.batch_size))
            return token

        with bridge.hooks(fwd_hooks=self.model.fwd_hooks):
            sample_ids = generate(bridge, prompt_tokens(bridge, args.prefix, args.prepend_bos), args.batch_size, args.gen_len, choose)
        rewards = self.reward(bridge.tokenizer.batch_decode(sample_ids))
        if args.normalize_reward:
            rewards = part1_rlhf.normalize_reward(rewards)
        chosen_values = torch.stack(values, dim=1)
        # The exercise's function wants values of whole sequences; with a prefix of one token these are they.
        whole = torch.nn.functional.pad(chosen_values, (0, 1))
        return LeanMemory(
            args,
            sample_ids,
            torch.stack(logprobs, dim=1),
            part1_rlhf.compute_advantages(whole, rewards, 1),
            chosen_values,
            self._ref_hidden(sample_ids),
        )

    def _ref_hidden(self, sample_ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch gen_len d_model"]:
        """The reference's last hidden states, in the states that chose a token."""
        trunk = self.ref_model.base_model.original_model.base_model
        parts = sample_ids[:, :-1].split(self.args.minibatch_size)
        return torch.cat([trunk(part).last_hidden_state[:, -self.args.gen_len :] for part in parts])

    def compute_rlhf_objective(self, minibatch: LeanMinibatch) -> Float[Tensor, ""]:
        """What one optimizer step ascends: clipped surrogate - value loss + entropy bonus - KL penalty."""
        args, gen_len = self.args, self.args.gen_len
        chosen = minibatch.sample_ids[:, -gen_len:]
        with torch.no_grad():
            unembed = self.ref_model.base_model.original_model.get_output_embeddings()
            ref_logprobs = unembed(minibatch.ref_hidden).log_softmax(-1)
            self._memory.ref_logprobs[minibatch.rows] = ref_logprobs.gather(-1, chosen[..., None]).squeeze(-1)
        bridge = self.model.base_model
        with bridge.hooks(fwd_hooks=self.model.fwd_hooks):
            logits = bridge.original_model(minibatch.sample_ids[:, :-1], logits_to_keep=gen_len).logits
        values = self.model.value_head_output[:, -gen_len:]
        logprobs, entropy, kl = TokenTerms.apply(logits, ref_logprobs, chosen)
        record(entropy=entropy.mean(), kl=kl.mean())
        surrogate = calc_clipped_surrogate_objective(logprobs, minibatch.logprobs, minibatch.advantages, args.clip_coef, gen_len)
        value_loss = calc_value_function_loss(values, minibatch.returns, args.vf_coef, gen_len)
        return surrogate - value_loss + args.ent_coef * entropy.mean() - args.kl_coef * kl.mean()

    def learning_phase(self, memory: LeanMemory) -> float:
        """As the plain trainer's."""
        self._memory = memory
        return super().learning_phase(memory)

    def _ref_logprobs(self, memory: LeanMemory) -> list[float]:
        """Log-probability of each sample's generated part under the reference, as learning found it."""
        return memory.ref_logprobs.sum(-1).tolist()
