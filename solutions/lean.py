"""Define a trainer with the same objective and metrics as the reference solution, which needs less time and memory.

`rlhf-course train --lean` trains with it. It contains answers, so it is part of the solutions. It differs from the
trainer in part1_rlhf/trainer.py as follows:

- It stores log-probabilities and values while it samples, so the policy needs no further forward pass in the rollout.
- It computes logits only at the positions that chose a token. The last token chose none, so the model does not read it.
- It stores the reference's last hidden states, which for GPT-2 are 768 numbers a token instead of 50,257 logits, and
  computes the logits of a minibatch from them.
- Log-probabilities, entropy and KL share one log-softmax, and their gradients are written as formulas instead of
  computed by autograd. Both are computed for a few tokens at a time, so the logits of a whole minibatch never exist.
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

# Number of tokens whose logits are computed at once. With a small vocabulary they fit into the processor's cache.
_CHUNK_SIZE = 256


@dataclass
class TokenTerms:
    """The terms of the objective for each token, and the gradients of the surrogate, the bonus and the penalty.

    Attributes:
        logprobs: log-probability of each token.
        entropy: entropy of the distribution that each token was drawn from.
        kl: KL divergence of that distribution from the reference's.
        grad_hidden: gradient with respect to the hidden states.
        grad_unembedding: gradient with respect to the unembedding matrix.
    """

    logprobs: Float[Tensor, "tokens"]
    entropy: Float[Tensor, "tokens"]
    kl: Float[Tensor, "tokens"]
    grad_hidden: Float[Tensor, "tokens d_model"]
    grad_unembedding: Float[Tensor, "vocab d_model"]


@torch.no_grad()
def token_terms(
    hidden: Float[Tensor, "tokens d_model"],
    unembedding: Float[Tensor, "vocab d_model"],
    chosen: Int[Tensor, "tokens"],
    ref_logprobs: Callable[[slice], Float[Tensor, "chunk vocab"]],
    grad_logprobs: Callable[[Float[Tensor, "chunk"], slice], Float[Tensor, "chunk"]],
    ent_coef: float,
    kl_coef: float,
) -> TokenTerms:
    """Compute terms and gradients a few tokens at a time, without storing logits.

    With log p the log-softmax of the logits z, log q the reference's, H the entropy and K the KL:
    dlog p(chosen)/dz = onehot - p,   dH/dz = -p (log p + H),   dK/dz = p (log p - log q - K).

    Args: hidden: the hidden states that chose the tokens. unembedding: the matrix from hidden states to logits. chosen:
        the token ids. ref_logprobs: function that returns the reference's log-probabilities for a slice of the tokens.
        grad_logprobs: function that returns the gradient of the objective with respect to the log-probabilities of a
        slice of the tokens. ent_coef: weight of the entropy bonus, which is a mean over the tokens. kl_coef: weight of
        the KL penalty, which is a mean over the tokens.
    """
    tokens = len(hidden)
    terms = hidden.new_empty(3, tokens)
    grad_hidden, grad_unembedding = torch.empty_like(hidden), torch.zeros_like(unembedding)
    grad_entropy, grad_kl = ent_coef / tokens, -kl_coef / tokens
    # The system clears memory of this size before it lends it, which takes as long as half a product: it is used again.
    buffers = hidden.new_empty(2, min(tokens, _CHUNK_SIZE), len(unembedding))
    for first in range(0, tokens, _CHUNK_SIZE):
        chunk = slice(first, min(first + _CHUNK_SIZE, tokens))
        states, index = hidden[chunk], chosen[chunk, None]
        logprobs, probabilities = buffers[:, : len(states)]
        torch.mm(states, unembedding.T, out=logprobs)
        torch.log_softmax(logprobs, -1, out=logprobs)
        ref = ref_logprobs(chunk)
        torch.exp(logprobs, out=probabilities)
        entropy = -torch.linalg.vecdot(probabilities, logprobs)
        kl = -entropy - torch.linalg.vecdot(probabilities, ref)
        of_chosen = logprobs.gather(-1, index).squeeze(-1)
        terms[:, chunk] = torch.stack([of_chosen, entropy, kl])
        grad_chosen = grad_logprobs(of_chosen, chunk)
        gradient = logprobs.mul_(grad_kl - grad_entropy).add_(ref, alpha=-grad_kl)
        gradient.sub_((grad_chosen + grad_entropy * entropy + grad_kl * kl)[:, None]).mul_(probabilities)
        gradient.scatter_add_(-1, index, grad_chosen[:, None])
        torch.mm(gradient, unembedding, out=grad_hidden[chunk])
        grad_unembedding.addmm_(gradient.T, states)
    return TokenTerms(*terms, grad_hidden, grad_unembedding)


class PrecomputedGradient(torch.autograd.Function):
    """A scalar whose gradients with respect to two tensors are computed already.

    `backward` scales them in place, so it can be called once.
    """

    @staticmethod
    def forward(
        ctx: Any, scalar: Tensor, hidden: Tensor, unembedding: Tensor, grad_hidden: Tensor, grad_unembedding: Tensor
    ) -> Tensor:
        ctx.save_for_backward(grad_hidden, grad_unembedding)
        return scalar.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_scalar: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_unembedding = ctx.saved_tensors
        return None, grad_hidden.mul_(grad_scalar), grad_unembedding.mul_(grad_scalar), None, None


def normalize_advantages(advantages: Float[Tensor, "minibatch gen_len"]) -> Float[Tensor, "minibatch gen_len"]:
    """Normalise advantages as `calc_clipped_surrogate_objective` does."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


@dataclass
class LeanMinibatch:
    """The sequences of one optimizer step; `rows` holds their indices in the memory."""

    rows: Int[Tensor, "minibatch"]
    sample_ids: Int[Tensor, "minibatch seq"]
    logprobs: Float[Tensor, "minibatch gen_len"]
    advantages: Float[Tensor, "minibatch gen_len"]
    returns: Float[Tensor, "minibatch gen_len"]
    ref_hidden: Float[Tensor, "minibatch gen_len d_model"]


class LeanMemory(ReplayMemory):
    """A rollout with the reference's last hidden states instead of its logits."""

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
        """Return the sequences at these indices as a minibatch."""
        tensors = (self.sample_ids, self.logprobs, self.advantages, self.returns, self.ref_hidden)
        return LeanMinibatch(indices, *(tensor[indices] for tensor in tensors))


def unembedding_of(model: Any) -> Float[Tensor, "vocab d_model"]:
    """Return the matrix from last hidden states to logits."""
    return model.base_model.original_model.get_output_embeddings().weight


@torch.no_grad()
def check_unembedding(model: Any, ids: Int[Tensor, "batch seq"]) -> None:
    """Check that a model's logits are its last hidden states times a matrix.

    Raises:
        CourseError: the model adds a bias, or scales or caps the logits.
    """
    transformer = model.base_model.original_model
    logits = transformer(ids).logits
    if not torch.allclose(
        transformer.base_model(ids).last_hidden_state @ unembedding_of(model).T, logits, atol=1e-4, rtol=1e-4
    ):
        raise CourseError(
            "the lean trainer needs a base_model whose logits are its last hidden states times a matrix: "
            "train without --lean"
        )


class LeanTrainer(part1_rlhf.RLHFTrainer):
    """The reference solution's trainer with another rollout and another computation of the objective."""

    lean = True

    def __init__(self, args: RLHFArgs) -> None:
        super().__init__(args)
        check_unembedding(self.ref_model, prompt_tokens(self.model.base_model, args.prefix, args.prepend_bos))

    @torch.no_grad()
    def rollout_phase(self) -> LeanMemory:
        """Sample a batch and store log-probabilities and values, then run the reference on it."""
        args, bridge = self.args, self.model.base_model
        logprobs: list[Tensor] = []
        values: list[Tensor] = []

        def choose(logits: Tensor) -> Tensor:
            token = sample_token(logits, args.temperature, args.top_k)
            logprobs.append(logits.log_softmax(-1).gather(-1, token[:, None]).squeeze(-1))
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
        # The exercise's function takes the values of whole sequences. With a prefix of one token, the values of the
        # states that chose a token and one more column are such values.
        padded_values = torch.nn.functional.pad(chosen_values, (0, 1))
        return LeanMemory(
            args,
            sample_ids,
            torch.stack(logprobs, dim=1),
            part1_rlhf.compute_advantages(padded_values, rewards, 1),
            chosen_values,
            self._ref_hidden(sample_ids),
        )

    def _ref_hidden(self, sample_ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch gen_len d_model"]:
        """Return the reference's last hidden states at the positions that chose a token."""
        transformer = self.ref_model.base_model.original_model.base_model
        minibatches = sample_ids[:, :-1].split(self.args.minibatch_size)
        return torch.cat([transformer(ids).last_hidden_state[:, -self.args.gen_len :] for ids in minibatches])

    def compute_rlhf_objective(self, minibatch: LeanMinibatch) -> Float[Tensor, ""]:
        """Return clipped surrogate - value loss + entropy bonus - KL penalty."""
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
        """Return the terms that depend on logits: clipped surrogate + entropy bonus - KL penalty."""
        args = self.args
        chosen = minibatch.sample_ids[:, -args.gen_len :].flatten()
        advantages, old_logprobs = normalize_advantages(minibatch.advantages).flatten(), minibatch.logprobs.flatten()
        ref_hidden, ref_unembedding = minibatch.ref_hidden.flatten(0, 1), unembedding_of(self.ref_model)
        ref_logprobs_of_chosen = torch.empty_like(old_logprobs)

        buffer = ref_hidden.new_empty(min(len(chosen), _CHUNK_SIZE), len(ref_unembedding))

        def ref_logprobs(chunk: slice) -> Tensor:
            states = ref_hidden[chunk]
            logprobs = torch.mm(states, ref_unembedding.T, out=buffer[: len(states)])
            torch.log_softmax(logprobs, -1, out=logprobs)
            ref_logprobs_of_chosen[chunk] = logprobs.gather(-1, chosen[chunk, None]).squeeze(-1)
            return logprobs

        def grad_logprobs(logprobs: Tensor, chunk: slice) -> Tensor:
            """Return the gradient of PPO's surrogate, which is 0 where clipping makes the objective smaller."""
            ratio, advantage = (logprobs - old_logprobs[chunk]).exp(), advantages[chunk]
            clipped = ratio.clip(1 - args.clip_coef, 1 + args.clip_coef)
            return torch.where(ratio * advantage <= clipped * advantage, ratio * advantage, 0.0) / len(chosen)

        unembedding = unembedding_of(self.model)
        terms = token_terms(
            hidden.flatten(0, 1), unembedding, chosen, ref_logprobs, grad_logprobs, args.ent_coef, args.kl_coef
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
        objective = surrogate + args.ent_coef * entropy - args.kl_coef * kl
        return PrecomputedGradient.apply(
            objective, hidden, unembedding, terms.grad_hidden.view_as(hidden), terms.grad_unembedding
        )

    def learning_phase(self, memory: LeanMemory) -> float:
        """Run the learning phase of the reference solution."""
        self._memory = memory
        return super().learning_phase(memory)

    def _ref_logprobs(self, memory: LeanMemory) -> list[float]:
        """Return the log-probability of each sample's generated part under the reference, computed while learning."""
        return memory.ref_logprobs.sum(-1).tolist()
