"""Sampling texts of a fixed length from a policy."""

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
    """Continuations of one prompt, each of exactly `gen_len` new tokens: the end-of-text token does not stop it.

    Args:
        model: a model with a value head, or a bridge.
        prompt: the text that every sample starts with.
        batch_size: how many samples.
        gen_len: new tokens in each.
        temperature: what logits are divided by; 0 takes the likeliest token each time.
        top_k: how many of the likeliest tokens may be sampled; None for all.
        prepend_bos: whether the prompt starts with the beginning-of-sequence token.
        kwargs: `top_p`, to sample only from the likeliest tokens that together reach this probability (nucleus), and
            `generator`, a source of randomness in place of torch's default one.

    Returns: the token ids, prompt included, and the same as texts. Neither carries a gradient.

    Raises:
        CourseError: a size, a temperature, top_k or top_p that cannot be, an unknown argument, or a text longer than the
            model reads.
    """
    top_p, generator = _further_arguments(**kwargs)
    _refuse_impossible(batch_size, gen_len, temperature, top_k, top_p)
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
    """A batch of continuations of one prompt, with each state read once.

    Args:
        bridge: the model.
        prompt_ids: what every text starts with.
        batch_size, gen_len: how many texts, and how many new tokens in each.
        choose: picks each text's next token from its logits.
    """
    # The prompt is the same for every sample: it is read once, and its keys and values are copied.
    cache = DynamicCache()
    output = bridge.original_model(prompt_ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(batch_size)
    logits = output.logits[:, -1].expand(batch_size, -1)
    ids = [prompt_ids.expand(batch_size, -1)]
    for step in range(gen_len):
        token = choose(logits)
        ids.append(token[:, None])
        if step < gen_len - 1:
            output = bridge.original_model(token[:, None], past_key_values=cache, use_cache=True)
            logits = output.logits[:, -1]
    return torch.cat(ids, dim=1)


def sample_token(
    logits: Float[Tensor, "batch vocab"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "batch"]:
    """One token for each row of logits, by temperature, top-k and nucleus sampling."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    kept = logits.shape[-1] if top_k is None else min(top_k, logits.shape[-1])
    scores, candidates = logits.topk(kept, dim=-1)
    # Differences to the likeliest are divided, which no small temperature turns into infinity minus infinity.
    smallest = torch.finfo(scores.dtype).tiny
    probabilities = torch.softmax((scores - scores[:, :1]) / max(temperature, smallest), dim=-1)
    if top_p is not None:
        # A token stays while those likelier than it have not reached top_p: the likeliest always stays.
        reached_before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(reached_before >= top_p, 0.0)
    choice = torch.multinomial(probabilities, num_samples=1, generator=generator)
    return candidates.gather(-1, choice).squeeze(-1)


def prompt_tokens(bridge: TransformerBridge, prompt: str, prepend_bos: bool) -> Int[Tensor, "1 prefix"]:
    """The tokens that every sample starts with.

    Raises:
        CourseError: there is none, the tokenizer has no beginning-of-sequence token to prepend, or the prompt has it too.
    """
    bos = bridge.tokenizer.bos_token
    if prepend_bos and bos is None:
        raise CourseError("prepend_bos takes False here: this model's tokenizer has no beginning-of-sequence token")
    if prepend_bos and prompt.startswith(bos):
        raise CourseError(
            f"prefix takes a text without {bos!r} at its start, which prepend_bos puts there: got {prompt!r}"
        )
    ids = bridge.to_tokens(prompt, prepend_bos=prepend_bos)
    if ids.shape[1] == 0:
        raise CourseError("prefix takes some text when prepend_bos is False, got '': the first token needs a state")
    return ids


def check_length(n_ctx: int, prefix_len: int, gen_len: int) -> None:
    """Refuse texts that are longer than a model's context.

    Raises:
        CourseError: they are.
    """
    if prefix_len + gen_len > n_ctx:
        raise CourseError(
            f"gen_len takes at most {n_ctx - prefix_len} here: the model reads {n_ctx} tokens, of which the prefix "
            f"takes {prefix_len}; got {gen_len}"
        )


def _further_arguments(
    top_p: float | None = None, generator: torch.Generator | None = None, **unknown: Any
) -> tuple[float | None, torch.Generator | None]:
    if unknown:
        raise CourseError(f"get_samples takes top_p and generator beside its named arguments, got {', '.join(unknown)}")
    return top_p, generator


def _refuse_impossible(
    batch_size: int, gen_len: int, temperature: float, top_k: int | None, top_p: float | None
) -> None:
    if batch_size < 1 or gen_len < 1:
        raise CourseError(f"batch_size and gen_len take at least 1, got {batch_size} and {gen_len}")
    if temperature < 0:
        raise CourseError(f"temperature takes at least 0, got {temperature}")
    if top_k is not None and top_k < 1:
        raise CourseError(f"top_k takes at least 1, or None for every token, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise CourseError(f"top_p takes a number above 0 and at most 1, got {top_p}")
