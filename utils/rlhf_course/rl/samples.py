"""Sample texts of a fixed length from a language model."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import DynamicCache

from rlhf_course.errors import CourseError
from rlhf_course.rl.matmul import onednn_matmul


@torch.no_grad()
def get_samples(
    model: Any,
    prompt: str,
    batch_size: int,
    gen_len: int = 15,
    temperature: float = 0.8,
    top_k: int | None = 15,
    prepend_bos: bool = True,
    **kwargs: Any,
) -> tuple[Int[Tensor, "batch seq"], list[str]]:
    """Sample continuations of one prompt, each of exactly `gen_len` new tokens; end-of-text tokens do not end it.

    Args:
        model: A model with a value head, or a TransformerLens bridge.
        prompt: The text that every sample starts with.
        batch_size: Number of samples.
        gen_len: Number of new tokens in each.
        temperature: Logits are divided by this; at 0 the likeliest token is chosen each time.
        top_k: Number of likeliest tokens that are sampled from; None for all.
        prepend_bos: Whether the prompt starts with the beginning-of-sequence token.
        kwargs: `top_p`, to sample only from the likeliest tokens that together reach this probability (nucleus
            sampling), and `generator`, a torch.Generator to use instead of the default one.

    Returns:
        The token ids with the prompt, and their texts. The ids have no gradient.

    Raises:
        CourseError: A size, temperature, top_k or top_p is out of its range, an argument is unknown, or the texts
            would be longer than the model's context.
    """
    top_p, generator = _optional_arguments(**kwargs)
    _check_ranges(batch_size, gen_len, temperature, top_k, top_p)
    bridge = model if isinstance(model, TransformerBridge) else model.base_model
    prompt_ids = prompt_tokens(bridge, prompt, prepend_bos)
    check_length(bridge.cfg.n_ctx, prompt_ids.shape[1], gen_len)
    with onednn_matmul():
        sample_ids = generate(
            bridge,
            prompt_ids,
            batch_size,
            gen_len,
            lambda logits: sample_token(logits, temperature, top_k, top_p, generator),
        )
    return sample_ids, bridge.tokenizer.batch_decode(sample_ids)


@torch.no_grad()
def generate(
    bridge: TransformerBridge,
    prompt_ids: Int[Tensor, "1 prefix"],
    batch_size: int,
    gen_len: int,
    choose: Callable[[Float[Tensor, "batch vocab"]], Int[Tensor, "batch"]],
) -> Int[Tensor, "batch seq"]:
    """Generate a batch of continuations of one prompt, with a key-value cache.

    Args:
        bridge: The model.
        prompt_ids: The token ids that every text starts with.
        batch_size: Number of texts.
        gen_len: Number of new tokens in each.
        choose: Function that returns the next token of each text from the logits.

    Returns:
        The token ids with the prompt.
    """
    cache = DynamicCache()
    logits = read_prompt(bridge, prompt_ids, batch_size, cache)
    ids = [prompt_ids.expand(batch_size, -1)]
    for step in range(gen_len):
        token = choose(logits)
        ids.append(token[:, None])
        if step < gen_len - 1:
            output = bridge.original_model(token[:, None], past_key_values=cache, use_cache=True)
            logits = output.logits[:, -1]
    return torch.cat(ids, dim=1)


def read_prompt(
    bridge: TransformerBridge, prompt_ids: Int[Tensor, "1 prefix"], batch_size: int, cache: DynamicCache
) -> Float[Tensor, "batch vocab"]:
    """Add the keys and values of a prompt to an empty cache for each text, and return the logits of the next token.

    The prompt is the same for every text, so the model runs on it once.
    """
    output = bridge.original_model(prompt_ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(batch_size)
    return output.logits[:, -1].expand(batch_size, -1)


def sample_token(
    logits: Float[Tensor, "batch vocab"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "batch"]:
    """Sample a token for each row of logits, by temperature, top-k and nucleus sampling.

    Args:
        logits: The logits of the next token of each text.
        temperature: The logits are divided by this; at 0 the likeliest token is chosen.
        top_k: Number of likeliest tokens that are sampled from; None for all.
        top_p: The likeliest tokens that together reach this probability are sampled from; None for all.
        generator: The random number generator; None for torch's default one.

    Raises:
        CourseError: The temperature is above 0, and a row holds a logit that is NaN or infinitely large.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    if top_k is None and top_p is None:
        return _draw_from_all(_probabilities(logits, logits.amax(dim=-1, keepdim=True), temperature), generator)
    count = logits.shape[-1] if top_k is None else min(top_k, logits.shape[-1])
    scores, candidates = logits.topk(count, dim=-1)
    probabilities = _probabilities(scores, scores[:, :1], temperature)
    if top_p is not None:
        # A token stays if the likelier tokens together have less than top_p, so the likeliest token always stays.
        likelier = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(likelier >= top_p, 0.0)
    try:
        choice = torch.multinomial(probabilities, num_samples=1, generator=generator)
    except RuntimeError:  # Only then, since to look at the numbers would let every token wait for a GPU.
        _require_finite(probabilities)
        raise
    return candidates.gather(-1, choice).squeeze(-1)


def _probabilities(
    scores: Float[Tensor, "batch tokens"], largest: Float[Tensor, "batch 1"], temperature: float
) -> Float[Tensor, "batch tokens"]:
    # The differences to the largest logit are divided: a tiny temperature would turn the logits themselves into
    # infinities, whose difference is NaN.
    smallest = torch.finfo(scores.dtype).tiny
    return torch.softmax((scores - largest) / max(temperature, smallest), dim=-1)


def _draw_from_all(
    probabilities: Float[Tensor, "batch vocab"], generator: torch.Generator | None
) -> Int[Tensor, "batch"]:
    """Draw a token of each row: the first at which the running sum of probabilities exceeds a uniform number.

    `torch.multinomial` draws a number for each probability, which for a whole vocabulary takes longer than a small
    model's pass.
    """
    sums = probabilities.float().cumsum(dim=-1)
    total = sums[:, -1:]
    _require_finite(total)
    uniform = torch.rand(total.shape, generator=generator, device=total.device)
    # The factor keeps the product below the total, which rounding could otherwise reach.
    return torch.searchsorted(sums, uniform * total * (1 - torch.finfo(total.dtype).eps), right=True).squeeze(-1)


def _require_finite(probabilities: Float[Tensor, "batch tokens"]) -> None:
    """Check probabilities, or sums of them, which are NaN if a logit of their row is NaN or infinitely large.

    Raises:
        CourseError: One is NaN.
    """
    if not probabilities.isfinite().all():
        raise CourseError("no token can be sampled: the model's logits hold NaN or infinity, so its training diverged")


def prompt_tokens(bridge: TransformerBridge, prompt: str, prepend_bos: bool) -> Int[Tensor, "1 prefix"]:
    """Return the token ids that every sample starts with.

    Raises:
        CourseError: There are none, the tokenizer has no beginning-of-sequence token to prepend, or the prompt starts
            with it.
    """
    bos = bridge.tokenizer.bos_token
    if prepend_bos and bos is None:
        raise CourseError("prepend_bos takes False here: this model's tokenizer has no beginning-of-sequence token")
    if prepend_bos and prompt.startswith(bos):
        raise CourseError(
            f"prefix takes a text that does not start with {bos!r}, since prepend_bos adds it: got {prompt!r}"
        )
    ids = bridge.to_tokens(prompt, prepend_bos=prepend_bos)
    if ids.shape[1] == 0:
        raise CourseError("prefix takes some text when prepend_bos is False, got '': the first token needs a state")
    return ids


def check_length(n_ctx: int, prefix_len: int, gen_len: int) -> None:
    """Check that the texts fit into a model's context.

    Raises:
        CourseError: They are longer.
    """
    if prefix_len + gen_len > n_ctx:
        raise CourseError(
            f"gen_len takes at most {n_ctx - prefix_len} here: the model's context has {n_ctx} tokens, and the prefix "
            f"{prefix_len}; got {gen_len}"
        )


def _optional_arguments(
    top_p: float | None = None, generator: torch.Generator | None = None, **unknown: Any
) -> tuple[float | None, torch.Generator | None]:
    if unknown:
        raise CourseError(f"get_samples takes top_p and generator beside its named arguments, got {', '.join(unknown)}")
    return top_p, generator


def _check_ranges(batch_size: int, gen_len: int, temperature: float, top_k: int | None, top_p: float | None) -> None:
    if batch_size < 1 or gen_len < 1:
        raise CourseError(f"batch_size and gen_len take at least 1, got {batch_size} and {gen_len}")
    if temperature < 0:
        raise CourseError(f"temperature takes at least 0, got {temperature}")
    if top_k is not None and top_k < 1:
        raise CourseError(f"top_k takes at least 1, or None for every token, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise CourseError(f"top_p takes a number above 0 and at most 1, got {top_p}")
