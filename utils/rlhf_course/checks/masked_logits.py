"""Cases of logits with a mask that names the tokens that count, which `sequence_logprobs` and `sft_loss` share."""

from collections.abc import Mapping
from typing import Any

import torch

from rlhf_course.checks.circumstances import variations
from rlhf_course.checks.core import (
    Answer,
    Case,
    Check,
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


def masked_logits_check(exercise: str, cases: Mapping[str, Case]) -> Check:
    """Return the check of an exercise whose arguments are logits, ids and a mask.

    Args:
        exercise: The exercise.
        cases: Its cases. That with the key "padded right" has three rows of seven columns.
    """
    case = cases["padded right"]
    logits, ids, mask = case.inputs
    other_ids = integers(0, case.inputs[logits].shape[-1], *case.inputs[ids].shape, seed=383)
    # Its sums are other ones, too, so that an answer that takes only the number of tokens from the mask is not said to
    # ignore it.
    other_mask = mask_of_rows("0111000", "0011000", "0111111")
    return Check(
        exercise,
        cases,
        _observe,
        variations=variations(case, **{ids: other_ids, mask: other_mask}),
        explain=_explain_positions,
    )


def _explain_positions(answer: Answer, case: Case) -> str:
    """Return at which positions of a text an answer reads logits and ids, if those are not the right ones.

    Args:
        answer: The learner's function.
        case: The case that is shown, of which nothing is taken.

    Returns: The end of a sentence, or an empty string.
    """
    ids_read, logits_read = _positions_read(answer)
    with_mask = f"with the mask {_ROW}, the"
    if ids_read != _TARGETS:
        should = f"they should be those at {_listed(_TARGETS)}, which the mask names"
        return f"{with_mask} ids that count are those at {_listed(ids_read)}; {should}"
    predicting = [position - 1 for position in _TARGETS]
    if logits_read != predicting:
        should = f"they should be those at {_listed(predicting)}, which predict the tokens at {_listed(_TARGETS)}"
        return f"{with_mask} logits that count are those at {_listed(logits_read)}; {should}"
    return ""


_ROW = "001110"
_TARGETS = [2, 3, 4]


def _positions_read(answer: Answer) -> tuple[list[int], list[int]]:
    """Return the positions of one text at which other ids, and other logits, change what an answer returns."""
    logits, ids, mask = normal(1, len(_ROW), 5, seed=381), torch.tensor([[0, 3, 1, 4, 2, 1]]), mask_of_rows(_ROW)
    before = answer(logits.clone(), ids.clone(), mask.clone())
    ids_read, logits_read = [], []
    for position in range(len(_ROW)):
        other_ids, other_logits = ids.clone(), logits.clone()
        other_ids[0, position] = (ids[0, position] + 1) % 5
        other_logits[0, position] = logits[0, position].roll(1)
        if not torch.allclose(answer(logits.clone(), other_ids, mask.clone()), before, equal_nan=True):
            ids_read.append(position)
        if not torch.allclose(answer(other_logits, ids.clone(), mask.clone()), before, equal_nan=True):
            logits_read.append(position)
    return ids_read, logits_read


def _listed(positions: list[int]) -> str:
    """List positions, counted from 0."""
    return f"the positions {', '.join(map(str, positions))}" if positions else "no position"


def with_extreme_logits(case: Case) -> Case:
    """Return the case with logits near 10000 and -10000."""
    logits = case.inputs["logits"]
    return Case(case.description, {**case.inputs, "logits": logits.sign() * 1e4 + round_to_quarters(logits)})


def with_nan_elsewhere(case: Case) -> Case:
    """Return the case with NaN for the logits at each position where the mask is False, and False at the next one."""
    logits, mask = case.inputs["logits"].clone(), list(case.inputs.values())[2]
    logits[~mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)] = torch.nan
    return Case(case.description, {**case.inputs, "logits": logits})


def _observe(answer: Answer, inputs: Mapping[str, Any]) -> Observation:
    """Observe a call, and the gradient at the logits unless some of them are NaN, since no NaN equals another one."""
    if bool(inputs["logits"].isnan().any()):
        return observe_result(answer(*(value.clone() for value in inputs.values())))
    return observe_call(answer, inputs, gradient_of="logits")
