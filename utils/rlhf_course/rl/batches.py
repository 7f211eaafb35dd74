"""Turn a prompt and its completions into token ids with masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.rl.special_tokens import END_OF_TEXT


@dataclass(frozen=True)
class TextBatch:
    """Texts of different lengths, padded on the right to the longest.

    The padding's id is the end-of-text token's, as in many models, so only the masks tell what is real.

    Attributes:
        input_ids: The token ids.
        attention_mask: True at real tokens, False at padding.
        completion_mask: True at the tokens of the completion, its end-of-text token included.
    """

    input_ids: Int[Tensor, "batch seq"]
    attention_mask: Bool[Tensor, "batch seq"]
    completion_mask: Bool[Tensor, "batch seq"]

    def to(self, device: torch.device | str) -> "TextBatch":
        """Return the batch on a device."""
        return TextBatch(self.input_ids.to(device), self.attention_mask.to(device), self.completion_mask.to(device))


def encode(tokenizer: Any, prompts: Sequence[str], completions: Sequence[str], ended: bool = False) -> TextBatch:
    """Encode prompts with their completions, each text after a beginning-of-sequence token.

    Prompt and completion are encoded apart, so that a completion has the same tokens after every prompt.

    Args:
        tokenizer: The model's tokenizer.
        prompts: The prompt of each text.
        completions: The completion of each text.
        ended: Whether every completion gets an end-of-text token; otherwise those that hold one have one.

    Raises:
        CourseError: The tokenizer has no beginning-of-sequence token, or no end-of-text token.
    """
    check_special_tokens(tokenizer)
    end = tokenizer.eos_token
    rows = []
    for prompt, completion in zip(prompts, completions, strict=True):
        whole = completion.removesuffix(END_OF_TEXT) + (end if ended or completion.endswith(END_OF_TEXT) else "")
        begin = tokenizer.encode(tokenizer.bos_token + prompt, add_special_tokens=False)
        rows.append((begin, tokenizer.encode(whole, add_special_tokens=False)))
    length = max((len(begin) + len(rest) for begin, rest in rows), default=0)
    input_ids = torch.full((len(rows), length), tokenizer.eos_token_id)
    attention_mask, completion_mask = (torch.zeros(len(rows), length, dtype=torch.bool) for _ in range(2))
    for row, (begin, rest) in enumerate(rows):
        input_ids[row, : len(begin) + len(rest)] = torch.tensor(begin + rest)
        attention_mask[row, : len(begin) + len(rest)] = True
        completion_mask[row, len(begin) : len(begin) + len(rest)] = True
    return TextBatch(input_ids, attention_mask, completion_mask)


def check_special_tokens(tokenizer: Any) -> None:
    """Check that a tokenizer has the tokens that begin and end a text.

    Raises:
        CourseError: It lacks one; the message names the tokenizer and the token.
    """
    for attribute, meaning in (("bos_token", "beginning-of-sequence"), ("eos_token", "end-of-text")):
        if getattr(tokenizer, attribute, None) is None:
            name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
            raise CourseError(
                f"the tokenizer {name} has no {meaning} token, which every text needs: take another "
                f"base_model, or set the tokenizer's {attribute}"
            )
