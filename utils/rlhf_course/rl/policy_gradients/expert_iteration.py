"""Expert iteration: fine-tune on one's own right completions."""

import random
from typing import Any

from rlhf_course.rl.policy_gradients.completions import completion_length, generate_completions
from rlhf_course.rl.policy_gradients.sft import demonstration_loss
from rlhf_course.rl.policy_gradients.start import starting_model
from rlhf_course.rl.policy_gradients.task_trainer import TaskTrainer
from rlhf_course.rl.types import Row

_EPOCHS = 2


class ExpertIterationTrainer(TaskTrainer):
    """Sample completions, keep the different right ones, and learn them by `sft_loss`, in two passes a phase.

    Source: Anthony et al. 2017, Thinking fast and slow with deep learning and tree search; for language models,
    Singh et al. 2023, Beyond human data.
    """

    kind = "expert_iteration"
    exercises = ("sft_loss", "verify_sorted")

    def make_model(self) -> Any:
        """Return the model of another run, or a fine-tuned one."""
        return starting_model(self.args)

    def run_phase(self) -> tuple[Row, list[Row]]:
        """Sample, keep what is right, and learn it."""
        args = self.args
        prompts = self.task.prompts(args.prompts, args.seed * 100_003 + self.phase)
        repeated = [prompts[index // args.group_size] for index in range(len(prompts) * args.group_size)]
        sampled = generate_completions(self.model, repeated, args.max_new_tokens)
        texts = sampled.texts
        pairs = list(zip(repeated, texts, strict=True))
        rewards = [self.task.verify(prompt, text) for prompt, text in pairs]
        kept = list(dict.fromkeys(pair for pair, reward in zip(pairs, rewards, strict=True) if reward == 1))
        losses = [self._learn(batch) for batch in self._batches(kept)]
        lengths = [completion_length(self.model.tokenizer, ids) for ids in sampled.completion_ids.tolist()]
        row = self.empty_row(
            mean_reward=sum(rewards) / len(rewards),
            entropy=sampled.entropy,
            accuracy=sum(self.task.is_right(prompt, text) for prompt, text in pairs) / len(pairs),
            mean_length=sum(lengths) / len(lengths),
            sampled_tokens=sum(lengths),
            kept=len(kept),
        )
        if losses:
            row |= {"objective": -sum(losses) / len(losses), "loss": sum(losses) / len(losses)}
        return row | self.evaluated(), self.sample_rows(repeated, texts, rewards)

    def _batches(self, kept: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
        size, batches = self.args.batch_size, []
        for epoch in range(_EPOCHS):
            order = list(kept)
            random.Random(self.args.seed * 1000 + self.phase * _EPOCHS + epoch).shuffle(order)
            batches += [order[start : start + size] for start in range(0, len(order), size)]
        return batches

    def _learn(self, batch: list[tuple[str, str]]) -> float:
        prompts, completions = zip(*batch, strict=True)
        return self.step(demonstration_loss(self.model, prompts, completions))
