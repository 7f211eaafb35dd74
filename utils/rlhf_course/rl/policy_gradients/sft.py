"""Supervised fine-tuning on demonstrations of a task."""

from collections.abc import Sequence
from typing import Any

import torch

from rlhf_course.learner_package import imported_answer
from rlhf_course.recording import require_result
from rlhf_course.rl.batches import encode
from rlhf_course.rl.matmul import onednn_matmul
from rlhf_course.rl.models import load_model
from rlhf_course.rl.policy_gradients.args import TaskArgs
from rlhf_course.rl.policy_gradients.task_trainer import TaskTrainer
from rlhf_course.rl.types import Row


class SFTTrainer(TaskTrainer):
    """Learn demonstrations by `sft_loss`. A phase of its run is one optimizer step."""

    kind = "sft"
    exercises = ("sft_loss",)
    phase_name = "steps"
    samples_a_phase = 0
    plotted = (("loss", "loss"), ("lr", "learning rate"))

    def __init__(self, args: TaskArgs, model: Any = None) -> None:
        super().__init__(args, model)
        self.prompts = self.task.prompts(args.demonstrations, args.seed)

    def make_model(self) -> Any:
        """Return the base model."""
        return load_model(self.args.base_model)

    def lr_factor(self, step: int) -> float:
        """Return the factor of the learning rate, which rises linearly and then stays."""
        return min(1.0, (step + 1) / self.args.warmup_steps) if self.args.warmup_steps else 1.0

    def run_phase(self) -> tuple[Row, list[Row]]:
        """Take an optimizer step on some demonstrations."""
        lr = self.optimizer.param_groups[0]["lr"]
        loss = self.learn(self.batch_of(self.phase))
        return self.empty_row(objective=-loss, loss=loss, lr=lr) | self.evaluated(), []

    def learn(self, prompts: Sequence[str]) -> float:
        """Take an optimizer step on the demonstrations of prompts, and return the loss."""
        return self.step(
            demonstration_loss(self.model, prompts, [self.task.demonstration(prompt) for prompt in prompts])
        )

    def batch_of(self, step: int) -> list[str]:
        """Return the prompts of a step: each pass over them has a permutation of its own."""
        size = min(self.args.batch_size, len(self.prompts))
        passed, index = divmod(step, len(self.prompts) // size)
        generator = torch.Generator().manual_seed(self.args.seed * 1000 + passed)
        rows = torch.randperm(len(self.prompts), generator=generator)[index * size : (index + 1) * size]
        return [self.prompts[row] for row in rows.tolist()]

    def describe_phase(self, row: Row) -> str:
        """Return the loss of a step."""
        return f"loss {row['loss']:.3f}"


def demonstration_loss(model: Any, prompts: Sequence[str], completions: Sequence[str]) -> torch.Tensor:
    """Return the learner's `sft_loss` of completions given their prompts."""
    batch = encode(model.tokenizer, prompts, completions).to(model.cfg.device)
    with onednn_matmul():
        logits = model(batch.input_ids)  # padding stands on the right, where no real token sees it
        loss: torch.Tensor = imported_answer("sft_loss")(logits, batch.input_ids, batch.completion_mask)
    return require_result("sft_loss", loss)
