"""The loop that makes a language model better at its reward."""

import part1_rlhf
import torch
from jaxtyping import Float
from rlhf_course import (
    ReplayMemory,
    ReplayMinibatch,
    Trainer,
    calc_clipped_surrogate_objective,
    calc_value_function_loss,
    get_samples,
)
from torch import Tensor, nn


class RLHFTrainer(Trainer):
    """Rollouts and learning; the base class sets up models and optimizer, and runs and records the phases.

    Call your own functions as `part1_rlhf.get_logprobs` and so on, so that each is looked up when it is needed.
    """

    def compute_rlhf_objective(self, minibatch: ReplayMinibatch) -> Float[Tensor, ""]:
        """What one optimizer step ascends: clipped surrogate - value loss + entropy bonus - KL penalty.

        Args:
            minibatch: sequences of a rollout.

        Returns: a scalar with gradients to the policy and its value head.
        """
        ### BEGIN SOLUTION
        args, gen_len = self.args, self.args.gen_len
        logits, values = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        # Logits and values at position i are about the token at i + 1.
        logits, values = logits[:, -gen_len - 1 : -1], values[:, -gen_len - 1 : -1]
        ref_logits = minibatch.ref_logits[:, -gen_len - 1 : -1]

        surrogate = calc_clipped_surrogate_objective(
            logprobs, minibatch.logprobs, minibatch.advantages, args.clip_coef, gen_len
        )
        value_loss = calc_value_function_loss(values, minibatch.returns, args.vf_coef, gen_len)
        entropy_bonus = part1_rlhf.calc_entropy_bonus(logits, args.ent_coef, gen_len)
        kl_penalty = part1_rlhf.calc_kl_penalty(logits, ref_logits, args.kl_coef, gen_len)
        return surrogate - value_loss + entropy_bonus - kl_penalty
        ### END SOLUTION

    @torch.no_grad()
    def rollout_phase(self) -> ReplayMemory:
        """Sample a batch of texts, and keep what learning from them needs.

        The texts are sampled with the settings' prefix, batch_size, gen_len, temperature, top_k and prepend_bos. The
        reward is normalised where the settings ask for it.

        Returns: the memory; nothing in it carries a gradient.
        """
        ### BEGIN SOLUTION
        args = self.args
        sample_ids, samples = get_samples(
            self.model,
            args.prefix,
            args.batch_size,
            gen_len=args.gen_len,
            temperature=args.temperature,
            top_k=args.top_k,
            prepend_bos=args.prepend_bos,
        )
        logits, values = self.model.forward_with_value_head(sample_ids)
        rewards = self.reward(samples)
        if args.normalize_reward:
            rewards = part1_rlhf.normalize_reward(rewards)
        return ReplayMemory(
            args=args,
            sample_ids=sample_ids,
            logprobs=part1_rlhf.get_logprobs(logits, sample_ids, self.prefix_len),
            advantages=part1_rlhf.compute_advantages(values, rewards, self.prefix_len),
            values=values,
            ref_logits=self.ref_model(sample_ids),
        )
        ### END SOLUTION

    def learning_phase(self, memory: ReplayMemory) -> float:
        """One optimizer step for each minibatch of the memory, then one step of the schedule.

        The norm of the gradient is clipped to the settings' max_grad_norm; `self.step` counts optimizer steps.

        Args:
            memory: a rollout.

        Returns: the mean objective over the minibatches.
        """
        ### BEGIN SOLUTION
        objectives = []
        for minibatch in memory.get_minibatches():
            self.optimizer.zero_grad()
            objective = self.compute_rlhf_objective(minibatch)
            objective.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
            self.optimizer.step()
            self.step += 1
            objectives.append(objective.item())
        self.scheduler.step()
        return sum(objectives) / len(objectives)
        ### END SOLUTION
