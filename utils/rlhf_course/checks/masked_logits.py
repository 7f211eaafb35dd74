"""Cases of logits with a mask that names the tokens that count, which `sequence_logprobs` and `sft_loss` share."""

from collections.abc import Mapping
from typing import Any

import torch

from rlhf_course.checks.core import (
    Answer,
    Case,
    Observation,
    integers,
    mask_of_rows,
    normal,
    observe_call,
    observe_result,
    round_to_quarters,
)


def masked_logits(words: str, seed: int, *rows: str, mask: str, vocab: int = 6) -> Case:
    """Return a case of random logits and ids.

    Args:
        words: What is particular about it.
        seed: The seed of the logits; that of the ids is one larger.
        rows: The mask's rows, of 1 and 0.
        mask: The name of the argument that holds the mask.
        vocab: The size of the vocabulary.
    """
    texts, seq = len(rows), len(rows[0])
    inputs = {
        "logits": normal(texts, seq, vocab, seed=seed, scale=1.5),
        "input_ids": integers(0, vocab, texts, seq, seed=seed + 1),
        mask: mask_of_rows(*rows),
    }
    return Case(f"{words}: logits of shape [{texts}, {seq}, {vocab}], {mask} = {', '.join(rows)}", inputs)


def with_extreme_logits(case: Case) -> Case:
    """Return the case with logits near 10000 and -10000."""
    logits = case.inputs["logits"]
    return Case(case.description, {**case.inputs, "logits": logits.sign() * 1e4 + round_to_quarters(logits)})


def with_nan_elsewhere(case: Case) -> Case:
    """Return the case with NaN for the logits at each position where the mask is False, and False at the next one."""
    logits, mask = case.inputs["logits"].clone(), list(case.inputs.values())[2]
    logits[~mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)] = torch.nan
    return Case(case.description, {**case.inputs, "logits": logits})


def observe_masked_logits(answer: Answer, inputs: Mapping[str, Any]) -> Observation:
    """Observe a call, and the gradient at the logits unless some of them are NaN, since no NaN equals another one."""
    if bool(inputs["logits"].isnan().any()):
        return observe_result(answer(*(value.clone() for value in inputs.values())))
    return observe_call(answer, inputs, gradient_of="logits")
