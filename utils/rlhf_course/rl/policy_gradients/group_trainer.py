"""The part of GRPO that is given: sampling, rewards, optimizer steps and the record of a phase."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.rl.matmul import onednn_matmul
from rlhf_course.rl.policy_gradients.args import TaskArgs
from rlhf_course.rl.policy_gradients.batch import GRPOBatch
from rlhf_course.rl.policy_gradients.completions import Completions, generate_completions
from rlhf_course.rl.policy_gradients.start import starting_model
from rlhf_course.rl.policy_gradients.task_trainer import TaskTrainer
from rlhf_course.rl.types import Row


class GroupTrainer(TaskTrainer):
    """Train a policy on groups of completions. A learner's subclass writes `rollout` and `loss`.

    Args:
        args: The settings.
        model: The policy; None for the one that the settings describe.
        verify: Returns the reward of a prompt and a completion; None for the verifier that the settings name.

    Attributes:
        model: The policy.
        eos_token_id: The id of its end-of-text token.
    """

    kind = "grpo"
    exercises = (
        "completion_mask",
        "sft_loss",
        "verify_sorted",
        "group_advantages",
        "rloo_advantages",
        "grpo_clip_loss",
        "aggregate_loss",
        "GRPOTrainer",
    )

    def __init__(self, args: TaskArgs, model: Any = None, verify: Any = None) -> None:
        super().__init__(args, model)
        self.kind = "broken_verifier" if args.verifier == "broken" else "grpo"
        own = self.task.broken if args.verifier == "broken" else self.task.verify
        self.verifier = own if verify is None else verify
        self._verified: tuple[list[str], list[str], list[float]] = ([], [], [])
        self._entropy = float("nan")

    def make_model(self) -> Any:
        """Return the model of another run, or a fine-tuned one."""
        return starting_model(self.args)

    # What a learner writes.

    def rollout(self, prompts: list[str]) -> GRPOBatch:
        """Sample a group of completions for each prompt. Written by the learner."""
        raise NotImplementedError

    def loss(self, batch: GRPOBatch) -> Float[Tensor, ""]:
        """Compute the loss of a batch. Written by the learner."""
        raise NotImplementedError

    # What a learner calls.

    def sample(self, prompts: list[str]) -> Completions:
        """Sample one completion for each prompt of a list, at temperature 1 from the whole distribution."""
        sampled = generate_completions(self.model, prompts, self.args.max_new_tokens)
        self._entropy = sampled.entropy
        return sampled

    def verify(self, prompts: list[str], texts: list[str]) -> Float[Tensor, "batch"]:
        """Return the reward of each completion.

        Raises:
            CourseError: The lists have different lengths, or a reward is not a finite number.
        """
        if len(prompts) != len(texts):
            raise CourseError(
                f"verify takes a prompt for each completion, got {len(prompts)} prompts and {len(texts)} completions"
            )
        rewards = torch.tensor(
            [float(self.verifier(prompt, text)) for prompt, text in zip(prompts, texts, strict=True)]
        )
        if not rewards.isfinite().all():
            raise CourseError("the verifier returned a reward that is not finite")
        self._verified = (list(prompts), list(texts), rewards.tolist())
        return rewards.to(self.model.cfg.device)

    # A phase.

    def run_phase(self) -> tuple[Row, list[Row]]:
        """Sample a rollout, and take optimizer steps on it."""
        prompts = self.task.prompts(self.args.prompts, self.args.seed * 100_003 + self.phase)
        with onednn_matmul():
            batch = self.rollout(prompts)
            if not isinstance(batch, GRPOBatch):
                raise CourseError(f"rollout returned a {type(batch).__name__}, should return a GRPOBatch")
            losses = [self.step(self.loss(batch)) for _ in range(self.args.steps_per_rollout)]
        return self._row(batch, sum(losses) / len(losses)) | self.evaluated(), self.sample_rows(*self._verified)

    def _row(self, batch: GRPOBatch, loss: float) -> Row:
        prompts, texts, _ = self._verified
        groups = batch.rewards.reshape(-1, self.args.group_size)
        right = [self.task.is_right(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        return self.empty_row(
            mean_reward=batch.rewards.mean().item(),
            objective=-loss,
            entropy=self._entropy,
            accuracy=sum(right) / max(1, len(right)),
            mixed_groups=(groups.amax(1) > groups.amin(1)).float().mean().item(),
            mean_length=batch.completion_mask.sum(1).float().mean().item(),
            sampled_tokens=int(batch.completion_mask.sum()),
        )
