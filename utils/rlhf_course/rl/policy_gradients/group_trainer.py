"""The part of GRPO that is given: sampling, rewards, optimizer steps and the record of a phase."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.recording import recorded_phase
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
    loss_name = "loss"
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
        self._own_verifier = verify is not None
        self._verified: tuple[list[str], list[str], list[float]] = ([], [], [])  # in this rollout
        self._entropy = float("nan")

    def make_model(self) -> Any:
        """Return the model of another run, or a fine-tuned one."""
        return starting_model(self.args)

    def _config(self, path: Path) -> dict[str, Any]:
        return super()._config(path) | ({"given_verifier": True} if self._own_verifier else {})

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
        """Return the reward of each completion. A rollout may verify its completions in several calls.

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
        verified = self._verified
        self._verified = ([*verified[0], *prompts], [*verified[1], *texts], [*verified[2], *rewards.tolist()])
        return rewards.to(self.model.cfg.device)

    # A phase.

    def run_phase(self) -> tuple[Row, list[Row]]:
        """Sample a rollout, and take optimizer steps on it."""
        prompts = self.task.prompts(self.args.prompts, self.args.seed * 100_003 + self.phase)
        self._verified = ([], [], [])
        losses, clipped = [], []
        with onednn_matmul(), recorded_phase() as recorded:
            batch = self._checked(self.rollout(prompts), len(prompts))
            for _ in range(self.args.steps_per_rollout):
                losses.append(self.step(self.loss(batch)))
                clipped.append(clipped_share(recorded.latest_arguments("grpo_clip_loss"), batch.completion_mask))
        row = self._row(batch, losses, clipped)
        return row | self.evaluated(), self.sample_rows(*self._verified)

    def _checked(self, batch: Any, prompts: int) -> GRPOBatch:
        """Return what `rollout` returned.

        Raises:
            CourseError: It is no batch of as many completions as were to be sampled and verified, or not finite.
        """
        if not isinstance(batch, GRPOBatch):
            raise CourseError(f"rollout returned a {type(batch).__name__}, should return a GRPOBatch")
        wanted = prompts * self.args.group_size
        verified_prompts, texts, rewards = self._verified
        # A completion may be verified twice.
        self._verified = (verified_prompts[-wanted:], texts[-wanted:], rewards[-wanted:])
        verified = len(self._verified[0])
        if len(batch) != wanted:
            raise CourseError(
                f"rollout returned {len(batch)} completions, should return {wanted}: {self.args.group_size} of each of "
                f"{prompts} prompts"
            )
        if verified != wanted:
            raise CourseError(f"rollout called self.verify for {verified} completions, and returned {wanted}")
        if not batch.rewards.isfinite().all():
            raise CourseError("rollout returned rewards that are not finite")
        for name in ("old_logprobs", "advantages"):
            if not getattr(batch, name)[batch.completion_mask].isfinite().all():
                raise CourseError(f"rollout returned {name} that are not finite at a completion's token")
        return batch

    def _row(self, batch: GRPOBatch, losses: list[float], clipped: list[float]) -> Row:
        prompts, texts, _ = self._verified
        groups = batch.rewards.reshape(-1, self.args.group_size)
        right = [self.task.is_right(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        return self.empty_row(
            mean_reward=batch.rewards.mean().item(),
            objective=-sum(losses) / len(losses),
            entropy=self._entropy,
            clipfrac=fmean(clipped[1:] or clipped),
            accuracy=sum(right) / max(1, len(right)),
            mixed_groups=(groups.amax(1) > groups.amin(1)).float().mean().item(),
            mean_length=batch.completion_mask.sum(1).float().mean().item(),
            sampled_tokens=int(batch.completion_mask.sum()),
        )


def clipped_share(arguments: Sequence[Any], mask: Bool[Tensor, "batch gen"]) -> float:
    """Return the share of real tokens whose ratio is outside the bounds, given the arguments of `grpo_clip_loss`.

    It is NaN where the arguments are not those of the exercise, or have another shape than the mask.
    """
    if len(arguments) != 5 or any(getattr(given, "shape", None) != mask.shape for given in arguments[:2]):
        return math.nan
    logprobs, old_logprobs, _, clip_low, clip_high = arguments
    ratio = (logprobs - old_logprobs).detach()[mask].exp()
    return ((ratio < 1 - clip_low) | (ratio > 1 + clip_high)).float().mean().item()
