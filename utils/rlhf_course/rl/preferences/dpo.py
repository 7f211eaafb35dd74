"""Train a policy on pairs without a reward model: direct preference optimisation (Rafailov et al. 2023)."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rlhf_course.learner_package import imported_answer
from rlhf_course.rl.batches import encode
from rlhf_course.rl.models import bridge_parameters, load_model
from rlhf_course.rl.preferences.args import PairArgs
from rlhf_course.rl.preferences.pairs import Pair
from rlhf_course.rl.preferences.trainer import PairTrainer

_TEXTS_AT_ONCE = 128


class DPOTrainer(PairTrainer):
    """Train a policy by `dpo_loss`.

    The policy begins as the reference model, so the reference's log-probabilities of all texts are computed once,
    before the first step, and no second model is kept.

    Attributes:
        reference: The reference's log-probabilities, of chosen and rejected texts, for training and held-out pairs.
    """

    kind = "dpo"
    exercises = ("sequence_logprobs", "dpo_loss", "reward_accuracy")

    def __init__(self, args: PairArgs, pairs: tuple[list[Pair], list[Pair]] | None = None) -> None:
        super().__init__(args, pairs)
        self.reference = {
            name: tuple(logprobs_without_gradient(self.model, texts) for texts in _sides(pairs))
            for name, pairs in (("pairs", self.pairs), ("held_out", self.held_out))
        }

    def make_model(self) -> Any:
        """Return the base model."""
        return load_model(self.args.base_model)

    def parameters(self) -> list[nn.Parameter]:
        """Return the policy's trained parameters."""
        return [parameter for parameter in bridge_parameters(self.model) if parameter.requires_grad]

    def loss(self, pairs: list[Pair], rows: Int[Tensor, "pairs"]) -> tuple[Float[Tensor, ""], dict[str, float]]:
        """Return the mean loss of some pairs, and accuracy and mean log-ratios under the policy."""
        batch = [pairs[row] for row in rows.tolist()]
        both = [text for texts in _sides(batch) for text in texts]
        policy = completion_logprobs(self.model, both).chunk(2)
        reference = [side[rows] for side in self.reference["pairs"]]
        return self._loss(policy, reference)

    def evaluate(self) -> dict[str, float]:
        """Return accuracy and mean log-ratios on the held-out pairs."""
        policy = [logprobs_without_gradient(self.model, texts) for texts in _sides(self.held_out)]
        _, metrics = self._loss(policy, self.reference["held_out"])
        return {f"held_out_{name}": value for name, value in metrics.items()}

    def _loss(
        self, policy: Sequence[Tensor], reference: Sequence[Tensor]
    ) -> tuple[Float[Tensor, ""], dict[str, float]]:
        losses, chosen, rejected = imported_answer("dpo_loss")(*policy, *reference, self.args.beta)
        ratios = [(side - ref).detach().mean().item() for side, ref in zip(policy, reference, strict=True)]
        metrics = {
            "accuracy": float(imported_answer("reward_accuracy")(chosen, rejected)),
            "chosen_log_ratio": ratios[0],
            "rejected_log_ratio": ratios[1],
        }
        return losses.mean(), metrics


def _sides(pairs: Sequence[Pair]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return prompt and completion of the chosen and of the rejected texts."""
    return [(pair.prompt, pair.chosen) for pair in pairs], [(pair.prompt, pair.rejected) for pair in pairs]


def completion_logprobs(model: Any, texts: Sequence[tuple[str, str]]) -> Float[Tensor, "batch"]:
    """Return the log-probability of each completion given its prompt, with gradient unless it is switched off."""
    prompts, completions = zip(*texts, strict=True)
    batch = encode(model.tokenizer, prompts, completions).to(model.cfg.device)
    logits = model(batch.input_ids)  # padding stands on the right, where no real token sees it
    logprobs: Float[Tensor, "batch"] = imported_answer("sequence_logprobs")(
        logits, batch.input_ids, batch.completion_mask
    )
    return logprobs


@torch.no_grad()
def logprobs_without_gradient(model: Any, texts: Sequence[tuple[str, str]]) -> Float[Tensor, "batch"]:
    """Return the same without gradient, in parts that fit into memory."""
    parts = [texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE)]
    return torch.cat([completion_logprobs(model, part) for part in parts])
