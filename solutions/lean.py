"""The reference trainer without its waste: the same objective and the same record, in less time and memory.

`rlhf-course train --lean` trains with it. It is an answer, so it stays with the solutions. What it saves, beside the plain
trainer of part1_rlhf/trainer.py:

- log-probabilities and values are kept while sampling, which has computed them: no forward pass of the policy after it;
- logits are computed at the positions that chose a token, and the last token, which chooses none, is not read;
- of the reference its last hidden states are kept, 768 numbers a token for GPT-2 in place of 50,257: a minibatch's logits
  are computed from them when it is learnt from;
- log-probabilities, entropy and KL share one log-softmax, and their gradient is written down rather than traced: terms and
  gradient are made for a few tokens at a time, so that no minibatch's logits are ever there as a whole.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import part1_rlhf
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from rlhf_course import ReplayMemory, RLHFArgs, calc_clipped_surrogate_objective, calc_value_function_loss
from rlhf_course.errors import CourseError
from rlhf_course.recording import record_metrics
from rlhf_course.rl.samples import generate, prompt_tokens, sample_token

# Tokens whose logits are held at once: few enough to stay in a processor's cache where the vocabulary is small.
_TOKENS_AT_ONCE = 256


@dataclass
class TokenTerms:
    """What the objective asks of each token, and the gradients of what it makes of them.

    Attributes:
        logprobs, entropy, kl: log-probability of the token, entropy of its distribution and KL to the reference's.
        to_hidden, to_unembedding: gradients of the surrogate, bonus and penalty.
    """

    logprobs: Float[Tensor, "tokens"]
    entropy: Float[Tensor, "tokens"]
    kl: Float[Tensor, "tokens"]
    to_hidden: Float[Tensor, "tokens d_model"]
    to_unembedding: Float[Tensor, "vocab d_model"]


@torch.no_grad()
def token_terms(
    hidden: Float[Tensor, "tokens d_model"],
    unembedding: Float[Tensor, "vocab d_model"],
    chosen: Int[Tensor, "tokens"],
    ref_logprobs: Callable[[slice], Float[Tensor, "some vocab"]],
    to_logprobs: Callable[[Float[Tensor, "some"], slice], Float[Tensor, "some"]],
    ent_coef: float,
    kl_coef: float,
) -> TokenTerms:
    """Terms and gradients in one go, a few tokens at a time: no logits are kept.

    With log p the log-softmax of the logits z, H the entropy and K the KL:
    dlog p(chosen)/dz = onehot - p,   dH/dz = -p (log p + H),   dK/dz = p (log p - log q - K).

    Args:
        hidden: the states that chose the tokens.
        unembedding: from states to logits.
        chosen: the tokens.
        ref_logprobs: the reference's log-probabilities, for some of the tokens.
        to_logprobs: the objective's gradient to log-probabilities of some of the tokens.
        ent_coef, kl_coef: weights of the bonus and the penalty, which are means over the tokens.
    """
    tokens = len(hidden)
    numbers = hidden.new_empty(3, tokens)
    to_hidden, to_unembedding = torch.empty_like(hidden), torch.zeros_like(unembedding)
    to_entropy, to_kl = ent_coef / tokens, -kl_coef / tokens
    for first in range(0, tokens, _TOKENS_AT_ONCE):
        some = slice(first, min(first + _TOKENS_AT_ONCE, tokens))
        mine, index = hidden[some], chosen[some, None]
        logprobs = (mine @ unembedding.T).log_softmax(-1)
        theirs = ref_logprobs(some)
        probabilities = logprobs.exp()
        entropy = -torch.linalg.vecdot(probabilities, logprobs)
        kl = -entropy - torch.linalg.vecdot(probabilities, theirs)
        of_chosen = logprobs.gather(-1, index).squeeze(-1)
        numbers[:, some] = torch.stack([of_chosen, entropy, kl])
        to_chosen = to_logprobs(of_chosen, some)
        gradient = logprobs.mul_(to_kl - to_entropy).add_(theirs, alpha=-to_kl)
        gradient.sub_((to_chosen + to_entropy * entropy + to_kl * kl)[:, None]).mul_(probabilities)
        gradient.scatter_add_(-1, index, to_chosen[:, None])
        torch.mm(gradient, unembedding, out=to_hidden[some])
        to_unembedding.addmm_(gradient.T, mine)
    return TokenTerms(*numbers, to_hidden, to_unembedding)


class Known(torch.autograd.Function):
    """A number whose gradients to two tensors are known already; they are scaled in place, since one backward pass is made."""

    @staticmethod
    def forward(ctx: Any, number: Tensor, one: Tensor, other: Tensor, to_one: Tensor, to_other: Tensor) -> Tensor:
        ctx.save_for_backward(to_one, to_other)
        return number.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_number: Tensor) -> tuple[Tensor | None, ...]:
        to_one, to_other = ctx.saved_tensors
        return None, to_one.mul_(to_number), to_other.mul_(to_number), None, None


def normalized(advantages: Float[Tensor, "minibatch gen_len"]) -> Float[Tensor, "minibatch gen_len"]:
    """As `calc_clipped_surrogate_objective` normalises them."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


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

    def __init__(
        self, args: Any, sample_ids: Tensor, logprobs: Tensor, advantages: Tensor, values: Tensor, ref_hidden: Tensor
    ) -> None:
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


def unembedding_of(model: Any) -> Float[Tensor, "vocab d_model"]:
    """The matrix from last hidden states to logits."""
    return model.base_model.original_model.get_output_embeddings().weight


@torch.no_grad()
def refuse_other_logits(model: Any, ids: Int[Tensor, "batch seq"]) -> None:
    """Refuse a model whose logits are more than its last hidden states times a matrix.

    Raises:
        CourseError: it adds a bias, scales or caps them.
    """
    whole = model.base_model.original_model
    logits = whole(ids).logits
    if not torch.allclose(
        whole.base_model(ids).last_hidden_state @ unembedding_of(model).T, logits, atol=1e-4, rtol=1e-4
    ):
        raise CourseError(
            "the lean trainer takes a base_model whose logits are its last states times one matrix: train without --lean"
        )


class LeanTrainer(part1_rlhf.RLHFTrainer):
    """The reference's trainer with another rollout and another way to its objective; its learning phase is the same."""

    lean = True

    def __init__(self, args: RLHFArgs) -> None:
        super().__init__(args)
        refuse_other_logits(self.ref_model, prompt_tokens(self.model.base_model, args.prefix, args.prepend_bos))

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
            sample_ids = generate(
                bridge, prompt_tokens(bridge, args.prefix, args.prepend_bos), args.batch_size, args.gen_len, choose
            )
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
        bridge = self.model.base_model
        with bridge.hooks(fwd_hooks=self.model.fwd_hooks):
            hidden = bridge.original_model.base_model(minibatch.sample_ids[:, :-1]).last_hidden_state[:, -gen_len:]
        values = self.model.value_head_output[:, -gen_len:]
        value_loss = calc_value_function_loss(values, minibatch.returns, args.vf_coef, gen_len)
        return self._token_objective(hidden, minibatch) - value_loss

    def _token_objective(
        self, hidden: Float[Tensor, "minibatch gen_len d_model"], minibatch: LeanMinibatch
    ) -> Float[Tensor, ""]:
        """The terms that depend on logits: clipped surrogate + entropy bonus - KL penalty."""
        args = self.args
        chosen = minibatch.sample_ids[:, -args.gen_len :].flatten()
        advantages, before = normalized(minibatch.advantages).flatten(), minibatch.logprobs.flatten()
        ref_hidden, ref_unembedding = minibatch.ref_hidden.flatten(0, 1), unembedding_of(self.ref_model)
        ref_logprobs_of_chosen = torch.empty_like(before)

        def ref_logprobs(some: slice) -> Tensor:
            found = (ref_hidden[some] @ ref_unembedding.T).log_softmax(-1)
            ref_logprobs_of_chosen[some] = found.gather(-1, chosen[some, None]).squeeze(-1)
            return found

        def to_logprobs(logprobs: Tensor, some: slice) -> Tensor:
            """PPO's: nothing where clipping has made the objective smaller."""
            ratio, advantage = (logprobs - before[some]).exp(), advantages[some]
            clipped = ratio.clip(1 - args.clip_coef, 1 + args.clip_coef)
            return torch.where(ratio * advantage <= clipped * advantage, ratio * advantage, 0.0) / len(chosen)

        unembedding = unembedding_of(self.model)
        terms = token_terms(
            hidden.flatten(0, 1), unembedding, chosen, ref_logprobs, to_logprobs, args.ent_coef, args.kl_coef
        )
        self._memory.ref_logprobs[minibatch.rows] = ref_logprobs_of_chosen.view_as(minibatch.logprobs)
        entropy, kl = terms.entropy.mean(), terms.kl.mean()
        record_metrics(entropy=entropy, kl=kl)
        surrogate = calc_clipped_surrogate_objective(
            terms.logprobs.view_as(minibatch.logprobs),
            minibatch.logprobs,
            minibatch.advantages,
            args.clip_coef,
            args.gen_len,
        )
        number = surrogate + args.ent_coef * entropy - args.kl_coef * kl
        return Known.apply(number, hidden, unembedding, terms.to_hidden.view_as(hidden), terms.to_unembedding)

    def learning_phase(self, memory: LeanMemory) -> float:
        """As the plain trainer's."""
        self._memory = memory
        return super().learning_phase(memory)

    def _ref_logprobs(self, memory: LeanMemory) -> list[float]:
        """Log-probability of each sample's generated part under the reference, as learning found it."""
        return memory.ref_logprobs.sum(-1).tolist()
