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
        raise NotImplementedError("write this part")

    @torch.no_grad()
    def rollout_phase(self) -> ReplayMemory:
        """Sample a batch of texts, and keep what learning from them needs.

        The texts are sampled with the settings' prefix, batch_size, gen_len, temperature, top_k and prepend_bos. The
        reward is normalised where the settings ask for it.

        Returns: the memory; nothing in it carries a gradient.
        """
        raise NotImplementedError("write this part")

    def learning_phase(self, memory: ReplayMemory) -> float:
        """One optimizer step for each minibatch of the memory, then one step of the schedule.

        The norm of the gradient is clipped to the settings' max_grad_norm; `self.step` counts optimizer steps.

        Args:
            memory: a rollout.

        Returns: the mean objective over the minibatches.
        """
        raise NotImplementedError("write this part")
