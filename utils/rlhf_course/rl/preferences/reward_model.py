"""Train the learner's reward model on pairs, and use a trained one as the reward of a policy."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rlhf_course.errors import CourseError
from rlhf_course.judges import gold_rewards
from rlhf_course.learner_package import imported_answer
from rlhf_course.rl.batches import encode
from rlhf_course.rl.preferences.args import PairArgs
from rlhf_course.rl.preferences.pairs import Pair, completion_of
from rlhf_course.rl.preferences.trainer import PairTrainer
from rlhf_course.rl.run_folder import load_checkpoint, load_config, read_run

_TEXTS_AT_ONCE = 256


class RewardModelTrainer(PairTrainer):
    """Train a `RewardModel` by the Bradley-Terry loss."""

    kind = "reward_model"
    exercises = ("RewardModel", "bradley_terry_loss", "reward_accuracy")

    def make_model(self) -> Any:
        """Return a reward model with a new head."""
        return imported_answer("RewardModel").from_pretrained(self.args.base_model)

    def parameters(self) -> list[nn.Parameter]:
        """Return the transformer's trained parameters and those of the head."""
        return [*self.model.get_base_model_trainable_params(), *self.model.reward_head.parameters()]

    def loss(self, pairs: list[Pair], rows: Int[Tensor, "pairs"]) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """Return the Bradley-Terry loss, and the share of the pairs that are ranked rightly."""
        batch = [pairs[row] for row in rows.tolist()]
        texts = [pair.chosen for pair in batch] + [pair.rejected for pair in batch]
        chosen, rejected = rewards_of(self.model, batch[0].prompt, texts).chunk(2)
        loss = imported_answer("bradley_terry_loss")(chosen, rejected)
        accuracy = imported_answer("reward_accuracy")(chosen.detach(), rejected.detach())
        return loss, {"accuracy": float(accuracy)}

    def evaluate(self) -> dict[str, float]:
        """Return the share of held-out pairs that are ranked rightly."""
        return {"held_out_accuracy": held_out_accuracy(self.model, self.held_out)}


def rewards_of(model: Any, prompt: str, completions: Sequence[str]) -> Float[Tensor, "batch"]:
    """Return a reward model's reward of each completion, read after an end-of-text token.

    Gradients flow to the model unless they are switched off.
    """
    batch = encode(model.tokenizer, [prompt] * len(completions), completions, ended=True).to(model.cfg.device)
    rewards: Float[Tensor, "batch"] = model(batch.input_ids, batch.attention_mask)
    return rewards


@torch.no_grad()
def predicted_rewards(model: Any, prompt: str, completions: Sequence[str]) -> Float[Tensor, "batch"]:
    """Return a reward model's reward of each completion, without gradient and in parts that fit into memory."""
    parts = [
        rewards_of(model, prompt, completions[start : start + _TEXTS_AT_ONCE])
        for start in range(0, len(completions), _TEXTS_AT_ONCE)
    ]
    return torch.cat(parts).cpu()


def held_out_accuracy(model: Any, pairs: Sequence[Pair]) -> float:
    """Return the share of pairs that a reward model ranks as their labels do."""
    prompt = pairs[0].prompt
    chosen = predicted_rewards(model, prompt, [pair.chosen for pair in pairs])
    rejected = predicted_rewards(model, prompt, [pair.rejected for pair in pairs])
    return float(imported_answer("reward_accuracy")(chosen, rejected))


def latest_reward_model(runs: str | Path = "runs", pairs: int | None = None) -> Path | None:
    """Return the newest finished run of a reward model that learned from enough pairs, or None.

    Notebook 11 also trains a reward model on 64 pairs, to show how little it learns. That one is passed over.

    Args:
        runs: The folder of the runs.
        pairs: The smallest number of pairs; by default that of the run `reward_model`.
    """
    least = PairArgs.for_run("reward_model").pairs if pairs is None else pairs
    for path in sorted(Path(runs).glob("*/config.json"), key=lambda file: file.stat().st_mtime, reverse=True):
        with suppress(CourseError, TypeError, KeyError):  # a damaged run, or one of another version
            run = read_run(path.parent)
            if run.config.get("kind") != RewardModelTrainer.kind or run.config["args"]["pairs"] < least:
                continue
            if len(run.rows) == PairArgs(**run.config["args"]).total_phases:
                return path.parent
    return None


def load_reward_model(folder: str | Path) -> tuple[Any, str]:
    """Load a trained reward model from its run.

    Returns:
        The model, frozen, and the prompt of the pairs that it learned from.

    Raises:
        CourseError: The folder holds no run of a reward model.
    """
    path = Path(folder)
    config = load_config(path)
    if config.get("kind") != RewardModelTrainer.kind:
        raise CourseError(f"{path} is no run of a reward model: make one with `rlhf-course train --run reward_model`")
    model = imported_answer("RewardModel").from_pretrained(config["args"]["base_model"])
    model.load_state_dict(load_checkpoint(path)["model"])
    return model.requires_grad_(False), config["args"]["prefix"]


class LearnedReward:
    """The reward of a trained reward model, as a function from texts to rewards.

    Args:
        folder: The reward model's run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()
        self.model, self.prompt = load_reward_model(self.folder)

    def __call__(self, generated_sample: list[str]) -> Float[Tensor, "batch"]:
        """Return the reward of each text, which begins with the prompt, up to its first end-of-text token."""
        return predicted_rewards(self.model, self.prompt, self._completions(generated_sample))

    def metrics(self, samples: list[str]) -> dict[str, float]:
        """Return what a run records of a batch besides the reward: the mean gold reward, as `gold`."""
        return {"gold": gold_rewards(self.prompt, self._completions(samples)).mean().item()}

    def _completions(self, texts: list[str]) -> list[str]:
        return [completion_of(text, self.prompt) for text in texts]
