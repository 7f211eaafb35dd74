"""Train a model on a task whose answers can be checked: what fine-tuning, GRPO and expert iteration share."""

import math
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rlhf_course.errors import CourseError
from rlhf_course.rl.batches import check_special_tokens
from rlhf_course.rl.models import bridge_parameters
from rlhf_course.rl.phase_trainer import PhaseTrainer
from rlhf_course.rl.policy_gradients.args import TaskArgs
from rlhf_course.rl.policy_gradients.completions import generate_completions
from rlhf_course.rl.policy_gradients.tasks import TASKS, Task
from rlhf_course.rl.run_folder import METRICS
from rlhf_course.rl.state import seed_everything
from rlhf_course.rl.types import Row

_SAMPLED_AT_ONCE = 256
# Held-out prompts are the same in every run and every phase.
HELD_OUT_SEED = 0


class TaskTrainer(PhaseTrainer):
    """Train a model on a task. A subclass runs a phase.

    Args:
        args: The settings.
        model: The model that is trained, as `load_model` returns it; None for the one that the settings describe.

    Attributes:
        loss_name: The function of the learner that computes the loss.
        args: The settings.
        task: The task.
        model: The model, in eval mode: the course trains without dropout.
        eos_token_id: The id of its end-of-text token.
    """

    loss_name = "sft_loss"
    samples_a_phase = 8
    plotted = (("accuracy", "share of right completions"), ("entropy", "entropy\n(nats a token)"))

    args: TaskArgs

    def __init__(self, args: TaskArgs, model: Any = None) -> None:
        super().__init__()
        seed_everything(args.seed)
        self.args = args
        self.task: Task = task_of(args)
        self.model = self.make_model() if model is None else model
        check_special_tokens(self.model.tokenizer)
        seed_everything(args.seed)  # the same samples, wherever the model came from
        self.eos_token_id: int = self.model.tokenizer.eos_token_id
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=args.base_lr, betas=(0.9, 0.95), weight_decay=0.0)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self.lr_factor)

    def make_model(self) -> Any:
        """Return the model that training starts from, where the caller gives none."""
        raise NotImplementedError

    def lr_factor(self, step: int) -> float:
        """Return the factor of the learning rate in an optimizer step."""
        return 1.0

    def parameters(self) -> list[nn.Parameter]:
        """Return the model's trained parameters."""
        return [parameter for parameter in bridge_parameters(self.model) if parameter.requires_grad]

    @property
    def total_phases(self) -> int:
        """The number of phases."""
        return self.args.total_phases

    def step(self, loss: Float[Tensor, ""]) -> float:
        """Take an optimizer step that makes a loss smaller, and return the loss.

        Raises:
            CourseError: The loss is no scalar, has no gradient, or is not finite.
        """
        wanted = "should return a scalar tensor with a gradient to the policy"
        if not isinstance(loss, Tensor):
            raise CourseError(f"{self.loss_name} returned a {type(loss).__name__}, {wanted}")
        if loss.numel() != 1:
            raise CourseError(f"{self.loss_name} returned a tensor of shape {list(loss.shape)}, {wanted}")
        if not loss.requires_grad:
            raise CourseError(f"{self.loss_name} returned a tensor without a gradient, {wanted}")
        if not math.isfinite(value := loss.item()):
            raise CourseError(
                f"{self.loss_name} was {value} in phase {self.phase + 1}: lower base_lr; the last checkpoint is "
                "unchanged"
            )
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters(), self.args.max_grad_norm)
        self.optimizer.step()
        self.scheduler.step()
        return value

    def empty_row(self, **metrics: float) -> Row:
        """Return a phase's row of metrics, with those that are given."""
        lr = self.optimizer.param_groups[0]["lr"]
        return {**dict.fromkeys(METRICS, math.nan), "phase": self.phase, "lr": lr, **metrics}

    def evaluated(self) -> dict[str, float]:
        """Return accuracy on the held-out prompts after this phase, if this is a phase after which it is measured."""
        done = self.phase + 1
        if done % self.args.evaluation_interval and done != self.total_phases:
            return {}
        return self.evaluate()

    def evaluate(self) -> dict[str, float]:
        """Return the share of right completions on the held-out prompts, sampled and with the likeliest tokens."""
        prompts = self.task.prompts(self.args.held_out, HELD_OUT_SEED, held_out=True)
        return {
            "held_out_accuracy": accuracy(self.model, self.task, prompts, self.args.max_new_tokens),
            "held_out_greedy": accuracy(self.model, self.task, prompts, self.args.max_new_tokens, temperature=0),
        }

    def describe_phase(self, row: Row) -> str:
        """Return the share of right completions of a phase."""
        held_out = f", held out {row['held_out_accuracy']:.0%}" if "held_out_accuracy" in row else ""
        return f"right {row['accuracy']:.0%}{held_out}"

    def sample_rows(self, prompts: list[str], texts: list[str], rewards: list[float]) -> list[Row]:
        """Return the first completions of a phase as rows of `samples.jsonl`."""
        rows = list(zip(prompts, texts, rewards, strict=True))[: self.samples_a_phase]
        return [
            {"phase": self.phase, "reward": reward, "ref_logprob": None, "text": prompt + text}
            for prompt, text, reward in rows
        ]


def task_of(args: TaskArgs) -> Task:
    """Return the task that settings describe, with their number of digits."""
    task = TASKS[args.task]
    return replace(task, digits=(args.digits, args.digits)) if args.task == "sorting" else task


@torch.no_grad()
def accuracy(
    model: Any, task: Task, prompts: list[str], max_new_tokens: int, temperature: float = 1.0, seed: int = 0
) -> float:
    """Return the share of prompts whose completion is right; at temperature 0 the likeliest tokens are chosen."""
    generator = torch.Generator(model.cfg.device).manual_seed(seed)
    right = 0
    for start in range(0, len(prompts), _SAMPLED_AT_ONCE):
        part = prompts[start : start + _SAMPLED_AT_ONCE]
        texts = generate_completions(model, part, max_new_tokens, temperature, generator).texts
        right += sum(task.is_right(prompt, text) for prompt, text in zip(part, texts, strict=True))
    return right / len(prompts)
