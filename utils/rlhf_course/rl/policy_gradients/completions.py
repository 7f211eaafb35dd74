"""Sample completions of different prompts in one batch, each until its end-of-text token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from rlhf_course.errors import CourseError
from rlhf_course.rl.batches import check_special_tokens
from rlhf_course.rl.matmul import onednn_matmul
from rlhf_course.rl.samples import check_length, sample_token
from rlhf_course.rl.special_tokens import END_OF_TEXT


@dataclass(frozen=True)
class Completions:
    """Completions that a model sampled.

    Attributes:
        prompt_ids: The token ids of the prompts, padded on the left, each with its beginning-of-sequence token.
        prompt_mask: True at the prompts' tokens, False at padding.
        completion_ids: The sampled tokens. What follows a completion's first end-of-text token is end-of-text tokens.
        texts: The completions, each up to and with its end-of-text token, which is written as `<|endoftext|>`. One that
            was cut off has none.
        entropy: The mean entropy of the distributions that the tokens were sampled from, in nats.
    """

    prompt_ids: Int[Tensor, "batch prompt"]
    prompt_mask: Bool[Tensor, "batch prompt"]
    completion_ids: Int[Tensor, "batch gen"]
    texts: list[str]
    entropy: float


@torch.no_grad()
def generate_completions(
    model: Any,
    prompts: Sequence[str],
    max_new_tokens: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Completions:
    """Sample one completion of each prompt, from the whole distribution.

    Sampling stops when every completion has its end-of-text token, or has `max_new_tokens` tokens.

    Args:
        model: A TransformerLens bridge, as `load_model` returns it.
        prompts: The prompts, of any lengths; they may be equal.
        max_new_tokens: The most tokens of a completion.
        temperature: Logits are divided by this; at 0 the likeliest token is chosen each time.
        generator: The random number generator; None for torch's default one.

    Raises:
        CourseError: There is no prompt, the texts would be longer than the model's context, or the tokenizer has no
            token that begins or ends a text.
    """
    if not prompts:
        raise CourseError("sampling needs at least one prompt, got none")
    check_special_tokens(model.tokenizer)
    prompt_ids, prompt_mask = encode_prompts(model.tokenizer, prompts)
    check_length(model.cfg.n_ctx, prompt_ids.shape[1], max_new_tokens)
    prompt_ids, prompt_mask = prompt_ids.to(model.cfg.device), prompt_mask.to(model.cfg.device)
    with onednn_matmul():
        completion_ids, entropy = _generate(model, prompt_ids, prompt_mask, max_new_tokens, temperature, generator)
    texts = [completion_text(model.tokenizer, row) for row in completion_ids.tolist()]
    return Completions(prompt_ids, prompt_mask, completion_ids, texts, entropy)


def encode_prompts(
    tokenizer: Any, prompts: Sequence[str]
) -> tuple[Int[Tensor, "batch prompt"], Bool[Tensor, "batch prompt"]]:
    """Return the token ids of prompts, each after a beginning-of-sequence token and padded on the left, and a mask."""
    rows = [tokenizer.encode(tokenizer.bos_token + prompt, add_special_tokens=False) for prompt in prompts]
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), tokenizer.eos_token_id)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, length - len(row) :] = torch.tensor(row)
        mask[index, length - len(row) :] = True
    return ids, mask


def _generate(
    model: Any,
    prompt_ids: Int[Tensor, "batch prompt"],
    prompt_mask: Bool[Tensor, "batch prompt"],
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator | None,
) -> tuple[Int[Tensor, "batch gen"], float]:
    """Return the sampled tokens, and the mean entropy of the distributions that they were sampled from."""
    eos = model.tokenizer.eos_token_id
    cache, mask, ids = DynamicCache(), prompt_mask.long(), prompt_ids
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    running = torch.ones(len(prompt_ids), dtype=torch.bool, device=prompt_ids.device)
    sampled: list[Tensor] = []
    entropy = tokens = 0.0
    while len(sampled) < max_new_tokens and running.any():
        logits = model.original_model(
            ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits[:, -1]
        token = sample_token(logits, temperature, generator=generator).masked_fill(~running, eos)
        entropy += _entropy(logits)[running].sum().item()
        tokens += running.sum().item()
        sampled.append(token)
        running &= token != eos
        ids = token[:, None]
        positions = positions[:, -1:] + 1
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
    return torch.stack(sampled, dim=1), entropy / tokens


def _entropy(logits: Float[Tensor, "batch vocab"]) -> Float[Tensor, "batch"]:
    entropy: Tensor = torch.distributions.Categorical(logits=logits, validate_args=False).entropy()
    return entropy


def completion_length(tokenizer: Any, ids: Sequence[int]) -> int:
    """Return the number of sampled tokens up to and with the first end-of-text token; of all, where there is none."""
    tokens = list(ids)
    return tokens.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in tokens else len(tokens)


def completion_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return sampled tokens as text, up to and with the first end-of-text token, written as `<|endoftext|>`."""
    own = list(ids)[: completion_length(tokenizer, ids)]
    ended = tokenizer.eos_token_id in own
    return str(tokenizer.decode(own[:-1] if ended else own)) + END_OF_TEXT * ended
