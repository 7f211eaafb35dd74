"""Score each token of a sample: its gain in reward, and its surprise under the reference."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import imported_answer
from rlhf_course.widgets.numbers.tokens import ScoredText, ScoredToken, gains

_BOS = "<|endoftext|>"


class Scorer:
    """Scores the samples of one run.

    Args:
        reference: The pretrained model.
        tokenizer: The model's tokenizer.
        prefix: The prompt with which every text starts.
        reward_fn: The run's reward function; None if it is not available.
    """

    def __init__(
        self, reference: Any, tokenizer: Any, prefix: str, reward_fn: Callable[[list[str]], Any] | None
    ) -> None:
        self.reference = reference
        self.tokenizer = tokenizer
        self.prefix = prefix
        self.reward_fn = reward_fn

    @classmethod
    def from_trainer(cls, trainer: Any) -> "Scorer":
        """Return the scorer of a run that is being trained."""
        return cls(trainer.ref_model, trainer.model.tokenizer, trainer.args.prefix, trainer.args.reward_fn)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Scorer":
        """Return the scorer of a run that was read from its folder.

        Args:
            config: The run's configuration, as `load_config` returns it.

        Raises:
            CourseError: The run's model is not available, or the run has no reference.
        """
        from rlhf_course.rl.gpu import split_name
        from rlhf_course.rl.models import load_model
        from rlhf_course.rl.rewards import named_reward

        args = config["args"]
        if "reward_fn" not in args:
            raise CourseError("this run compares no text with a reference model")
        model = load_model(split_name(args["base_model"])[0])  # without the device on which the run was trained
        reward = args["reward_fn"]
        try:
            reward_fn = named_reward(reward["name"], reward["direction"])
        except CourseError:  # a function that was defined in a notebook cannot be found by name
            reward_fn = None
        return cls(model, model.tokenizer, args["prefix"], reward_fn)

    def score(self, samples: Sequence[Mapping[str, Any]]) -> list[ScoredText]:
        """Score the tokens of some samples.

        Args:
            samples: Rows of `samples.jsonl`.

        Returns:
            The samples, whose texts the tokenizer has split into tokens.
        """
        ids = [self.tokenizer.encode(sample["text"], add_special_tokens=False) for sample in samples]
        surprises = self._surprises(ids)
        return [self._score_text(*row) for row in zip(samples, ids, surprises, strict=True)]

    def _score_text(self, sample: Mapping[str, Any], ids: list[int], surprises: list[float | None]) -> ScoredText:
        texts = self._token_texts(ids)
        prompt_len = _prompt_len(texts, self.prefix)
        prompt, generated = "".join(texts[:prompt_len]), texts[prompt_len:]
        token_gains: list[float | None] = [None] * len(generated)
        if self.reward_fn is not None and generated:
            with torch.no_grad():
                token_gains = list(gains(generated, prompt, self.reward_fn))
        tokens = [ScoredToken(*row) for row in zip(generated, token_gains, surprises[prompt_len:], strict=True)]
        return ScoredText(prompt.removeprefix(_BOS), tokens, sample["reward"], sample["ref_logprob"])

    def _token_texts(self, ids: list[int]) -> list[str]:
        """Return what each token adds to the text; a character of several tokens belongs to the last of them."""
        texts = [self.tokenizer.decode(ids[:end]) for end in range(1, len(ids))]
        ends = [0, *(len(text.rstrip("\ufffd")) for text in texts), None]
        full_text = self.tokenizer.decode(ids)
        return [full_text[start:end] for start, end in pairwise(ends)]

    @torch.no_grad()
    def _surprises(self, ids: list[list[int]]) -> list[list[float | None]]:
        """Return minus the reference's log-probability of every token; None for the first token of a text."""
        device = self.reference.cfg.device
        # Texts differ in length. Padding on the right changes no logits before it, since attention is causal.
        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in ids], batch_first=True).to(device)
        logprobs = imported_answer("get_logprobs")(self.reference(padded), padded)
        return [[None, *(-logprobs[index, : len(row) - 1]).tolist()] for index, row in enumerate(ids)]


def unscored(sample: Mapping[str, Any]) -> ScoredText:
    """Return a sample as one token without scores, for a run whose model is not available."""
    return ScoredText("", [ScoredToken(sample["text"].removeprefix(_BOS))], sample["reward"], sample["ref_logprob"])


def _prompt_len(texts: Sequence[str], prefix: str) -> int:
    """Return the number of tokens of the prompt, which ends with the prefix."""
    prompt = ""
    for count, text in enumerate(texts):
        if len(prompt.removeprefix(_BOS)) >= len(prefix):
            return count
        prompt += text
    return len(texts)
