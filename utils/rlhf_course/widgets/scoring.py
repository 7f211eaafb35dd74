"""Samples cut into tokens, with what each token earned and how surprising the reference finds it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import imported_answer
from rlhf_course.widgets.numbers.tokens import ScoredText, ScoredToken, gains

_BOS = "<|endoftext|>"


class Scorer:
    """Scores the samples of one run.

    Args:
        reference: the pretrained model.
        tokenizer: the model's.
        prefix: what every text starts with.
        reward_fn: the run's reward; None when it is not at hand.
    """

    def __init__(
        self, reference: Any, tokenizer: Any, prefix: str, reward_fn: Callable[[list[str]], Any] | None
    ) -> None:
        self.reference = reference
        self.tokenizer = tokenizer
        self.prefix = prefix
        self.reward_fn = reward_fn

    @classmethod
    def of_trainer(cls, trainer: Any) -> "Scorer":
        """For the samples of a run that is being trained."""
        return cls(trainer.ref_model, trainer.model.tokenizer, trainer.args.prefix, trainer.args.reward_fn)

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> "Scorer":
        """For the samples of a run that has been read from its folder.

        Raises:
            CourseError: its model is not at hand.
        """
        from rlhf_course.rl.gpu import split_name
        from rlhf_course.rl.models import load_model
        from rlhf_course.rl.rewards import named_reward

        args = config["args"]
        model = load_model(split_name(args["base_model"])[0])  # wherever it was trained, it is read here
        named = args["reward_fn"]
        try:
            reward_fn = named_reward(named["name"], named["direction"])
        except CourseError:  # a function of a notebook, which has ended
            reward_fn = None
        return cls(model, model.tokenizer, args["prefix"], reward_fn)

    def score(self, samples: Sequence[Mapping[str, Any]]) -> list[ScoredText]:
        """The samples token by token, as the tokenizer cuts their texts."""
        ids = [self.tokenizer.encode(sample["text"], add_special_tokens=False) for sample in samples]
        surprises = self._surprises(ids)
        return [self._scored(*each) for each in zip(samples, ids, surprises, strict=True)]

    def _scored(self, sample: Mapping[str, Any], ids: list[int], surprises: list[float | None]) -> ScoredText:
        pieces = self._pieces(ids)
        prompt_len = _tokens_of(pieces, self.prefix)
        prompt, written = "".join(pieces[:prompt_len]), pieces[prompt_len:]
        earned: list[float | None] = [None] * len(written)
        if self.reward_fn is not None and written:
            with torch.no_grad():
                earned = list(gains(written, prompt, self.reward_fn))
        tokens = [ScoredToken(*one) for one in zip(written, earned, surprises[prompt_len:], strict=True)]
        return ScoredText(prompt.removeprefix(_BOS), tokens, sample["reward"], sample["ref_logprob"])

    def _pieces(self, ids: list[int]) -> list[str]:
        """What each token adds to the text; one that ends inside a character adds nothing, and the next one all of it."""
        texts = [self.tokenizer.decode(ids[:end]) for end in range(1, len(ids))]
        ends = [0, *(len(text.rstrip("\ufffd")) for text in texts), None]
        whole = self.tokenizer.decode(ids)
        return [whole[start:end] for start, end in zip(ends, ends[1:], strict=False)]

    @torch.no_grad()
    def _surprises(self, ids: list[list[int]]) -> list[list[float | None]]:
        """For every token, minus the log-probability that the reference gave it; None for the first of a text."""
        device = self.reference.cfg.device
        # Texts end at different lengths; what is added behind an end changes nothing before it.
        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(one) for one in ids], batch_first=True).to(device)
        logprobs = imported_answer("get_logprobs")(self.reference(padded), padded)
        return [[None, *(-logprobs[row, : len(one) - 1]).tolist()] for row, one in enumerate(ids)]


def unscored(sample: Mapping[str, Any]) -> ScoredText:
    """A sample in one piece, where nothing is at hand to score its tokens."""
    return ScoredText("", [ScoredToken(sample["text"].removeprefix(_BOS))], sample["reward"], sample["ref_logprob"])


def _tokens_of(pieces: Sequence[str], prefix: str) -> int:
    """How many tokens the prompt takes: those up to the end of the prefix."""
    text = ""
    for count, piece in enumerate(pieces):
        if len(text.removeprefix(_BOS)) >= len(prefix):
            return count
        text += piece
    return len(pieces)
