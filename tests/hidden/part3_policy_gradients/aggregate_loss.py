"""Wrong and right answers to `aggregate_loss`."""

import torch

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _refuse(mask, kind, max_length):
    if kind not in {"sequence_mean", "token_mean", "constant"}:
        raise ValueError(f"no such kind: {kind}")
    if (max_length is None) == (kind == "constant"):
        raise ValueError("max_length belongs to 'constant'")
    if not mask.any(-1).all():
        raise ValueError("a text is empty")


def _sums(losses, mask):
    return torch.where(mask, losses, 0.0).sum(-1)


def _right(losses, mask, kind, max_length=None):
    _refuse(mask, kind, max_length)
    return _weighted(losses, mask, kind, max_length)


def _weighted(losses, mask, kind, max_length):
    count = mask.sum(-1)
    if kind == "sequence_mean":
        return (_sums(losses, mask) / count).mean()
    total = _sums(losses, mask).sum()
    return total / count.sum() if kind == "token_mean" else total / (len(mask) * max_length)


# A mean whose denominator counts padding: https://github.com/huggingface/trl/pull/3187
@visible_mistake
def mean_over_padding(losses, mask, kind, max_length=None):
    """The mean of a text counts padding: divide its sum by its own number of real tokens."""
    _refuse(mask, kind, max_length)
    return (
        _sums(losses, mask).mean() / mask.shape[1]
        if kind == "sequence_mean"
        else _right(losses, mask, kind, max_length)
    )


@visible_mistake
def tokens_over_padding(losses, mask, kind, max_length=None):
    """For "token_mean" you divide by the number of all positions; divide by the number of real tokens."""
    _refuse(mask, kind, max_length)
    if kind == "token_mean":
        return _sums(losses, mask).sum() / mask.numel()
    return _right(losses, mask, kind, max_length)


# Which of the two means is taken: https://github.com/sail-sg/understand-r1-zero/issues/11
@visible_mistake
def sequence_for_token(losses, mask, kind, max_length=None):
    """For "token_mean" you average each text first; all real tokens of the batch weigh the same there."""
    _refuse(mask, kind, max_length)
    return _weighted(losses, mask, "sequence_mean" if kind == "token_mean" else kind, max_length)


@visible_mistake
def token_for_sequence(losses, mask, kind, max_length=None):
    """For "sequence_mean" all tokens weigh the same; average each text by itself first, then the texts."""
    _refuse(mask, kind, max_length)
    return _weighted(losses, mask, "token_mean" if kind == "sequence_mean" else kind, max_length)


@visible_mistake
def width_for_max_length(losses, mask, kind, max_length=None):
    """For "constant" you divide by the batch's width, which varies from batch to batch: take max_length."""
    return _right(losses, mask, kind, mask.shape[1] if kind == "constant" and max_length else max_length)


@visible_mistake
def without_the_texts(losses, mask, kind, max_length=None):
    """For "constant" you divide by max_length alone; divide by the number of texts, too."""
    result = _right(losses, mask, kind, max_length)
    return result * len(mask) if kind == "constant" else result


@visible_mistake
def without_max_length(losses, mask, kind, max_length=None):
    """For "constant" you divide by the number of texts alone; divide by max_length, too."""
    result = _right(losses, mask, kind, max_length)
    return result * max_length if kind == "constant" else result


@visible_mistake
def kinds_swapped(losses, mask, kind, max_length=None):
    """The two means are swapped: "sequence_mean" averages each text first, "token_mean" takes all tokens at once."""
    _refuse(mask, kind, max_length)
    other = {"sequence_mean": "token_mean", "token_mean": "sequence_mean"}
    return _weighted(losses, mask, other.get(kind, kind), max_length)


@visible_mistake
def padding_counts(losses, mask, kind, max_length=None):
    """What stands at padding is summed, too: leave out the losses where the mask is False."""
    _refuse(mask, kind, max_length)
    count = mask.sum(-1)
    if kind == "sequence_mean":
        return (losses.sum(-1) / count).mean()
    return losses.sum() / (count.sum() if kind == "token_mean" else len(mask) * max_length)


@visible_mistake(refused_with="NaN")
def multiplied_by_the_mask(losses, mask, kind, max_length=None):
    """You multiply by the mask, and 0 times NaN is NaN: replace what does not count (masked_fill or torch.where)."""
    _refuse(mask, kind, max_length)
    sums, count = (losses * mask).sum(-1), mask.sum(-1)
    if kind == "sequence_mean":
        return (sums / count).mean()
    return sums.sum() / (count.sum() if kind == "token_mean" else len(mask) * max_length)


@visible_mistake
def summed(losses, mask, kind, max_length=None):
    """You sum the losses of the texts; for "sequence_mean", take the mean over the texts."""
    result = _right(losses, mask, kind, max_length)
    return result * len(mask) if kind == "sequence_mean" else result


@visible_mistake
def one_a_text(losses, mask, kind, max_length=None):
    """You return one number for each text; the result is one number for the batch."""
    _refuse(mask, kind, max_length)
    count = mask.sum(-1)
    divisor = {"sequence_mean": count * len(mask), "token_mean": count.sum()}.get(kind)
    return _sums(losses, mask) / (len(mask) * max_length if divisor is None else divisor)


@visible_mistake(refused_with="has the wrong sign")
def turned_sign(losses, mask, kind, max_length=None):
    """The sign is turned: the losses of tokens are averaged as they are."""
    return -_right(losses, mask, kind, max_length)


@visible_mistake(refused_with="No gradient")
def no_gradient(losses, mask, kind, max_length=None):
    """The value is right, but no gradient reaches the losses of the tokens, so nothing can learn from it."""
    return _right(losses, mask, kind, max_length).detach()


@visible_mistake(refused_with="should raise a ValueError; a result came")
def any_kind(losses, mask, kind, max_length=None):
    """An unknown kind gives a result: raise a ValueError."""
    known = kind if kind in ("sequence_mean", "constant") else "token_mean"
    return _right(losses, mask, known, max_length)


@visible_mistake(refused_with="should raise a ValueError; a result came")
def default_length(losses, mask, kind, max_length=None):
    """A missing max_length is taken from the batch's width: raise a ValueError."""
    return _right(losses, mask, kind, mask.shape[1] if kind == "constant" and max_length is None else max_length)


@visible_mistake(refused_with="should raise a ValueError; a result came")
def length_ignored(losses, mask, kind, max_length=None):
    """A max_length that has no meaning for the kind is ignored: raise a ValueError."""
    return _right(losses, mask, kind, max_length if kind == "constant" else None)


@visible_mistake(refused_with="should raise a ValueError; a result came")
def nothing_for_an_empty_text(losses, mask, kind, max_length=None):
    """A text without a real token counts as 0: raise a ValueError."""
    _refuse(mask | True, kind, max_length)
    if kind == "sequence_mean":
        return (_sums(losses, mask) / mask.sum(-1).clamp(min=1)).mean()
    return _weighted(losses, mask, kind, max_length)


@visible_mistake
def over_texts_first(losses, mask, kind, max_length=None):
    """For "sequence_mean" you average over the texts at each position; average over the tokens of each text."""
    _refuse(mask, kind, max_length)
    if kind != "sequence_mean":
        return _weighted(losses, mask, kind, max_length)
    return (_sums(losses.T, mask.T) / mask.T.sum(-1).clamp(min=1)).mean()


@visible_mistake
def half_for_the_constant(losses, mask, kind, max_length=None):
    """For "constant" you divide by the sum of the lengths and max_length; divide by batch * max_length alone."""
    result = _right(losses, mask, kind, max_length)
    return result * len(mask) / mask.sum() if kind == "constant" else result


@visible_mistake(refused_with="was changed in place")
def changed_in_place(losses, mask, kind, max_length=None):
    """The numbers are right, but padding is overwritten in the caller's tensor; make a new one."""
    result = _right(losses, mask, kind, max_length)
    losses.data[~mask] = 0.0
    return result


@hidden_mistake(refused_with="should have the dtype float64")
def single_precision(losses, mask, kind, max_length=None):
    """The result is in single precision for inputs in double precision."""
    return _right(losses, mask, kind, max_length).float()


@hidden_mistake(refused_with="should have no dimension")
def kept_dimension(losses, mask, kind, max_length=None):
    """The result has shape [1]."""
    return _right(losses, mask, kind, max_length).reshape(1)


@hidden_mistake(refused_with="for many texts")
def first_texts_only(losses, mask, kind, max_length=None):
    """For "sequence_mean", only the first 40 texts count."""
    count = 40 if kind == "sequence_mean" else len(mask)
    return _right(losses[:count], mask[:count], kind, max_length)


@hidden_mistake(refused_with="for long texts")
def first_tokens_only(losses, mask, kind, max_length=None):
    """For "token_mean", only the first 64 tokens of a text count."""
    _refuse(mask, kind, max_length)
    if kind != "token_mean":
        return _weighted(losses, mask, kind, max_length)
    counted = mask & (torch.arange(mask.shape[1]) < 64)
    return _sums(losses, counted).sum() / counted.sum()


_BUFFERS = {}


@hidden_mistake(refused_with="after a later call")
def overwritten_by_the_next_call(losses, mask, kind, max_length=None):
    """Without gradients, the result is written into a tensor that the next call overwrites."""
    result = _right(losses, mask, kind, max_length)
    if result.requires_grad:
        return result
    return _BUFFERS.setdefault(result.dtype, torch.empty_like(result)).copy_(result)


@hidden_mistake(refused_with="The gradient")
def gradient_of_one_kind(losses, mask, kind, max_length=None):
    """For "token_mean", the gradient is that of "sequence_mean"."""
    result = _right(losses, mask, kind, max_length)
    if kind != "token_mean":
        return result
    other = _weighted(losses, mask, "sequence_mean", None)
    return result.detach() + other - other.detach()


@hidden_mistake(refused_with="The gradient")
def gradient_at_padding(losses, mask, kind, max_length=None):
    """A gradient reaches the losses at padding."""
    result = _right(losses, mask, kind, max_length)
    padding = torch.where(mask, 0.0, torch.nan_to_num(losses)).sum()
    return result + padding - padding.detach()


@hidden_mistake
def first_tokens_by_length(losses, mask, kind, max_length=None):
    """The real tokens are taken to be each text's first ones."""
    _refuse(mask, kind, max_length)
    first = torch.arange(mask.shape[1]) < mask.sum(-1, keepdim=True)
    return _weighted(losses, first, kind, max_length)


@hidden_mistake(refused_with="infinite")
def nan_to_number(losses, mask, kind, max_length=None):
    """NaN is replaced before the mask is multiplied with; what is infinite at padding becomes very large."""
    _refuse(mask, kind, max_length)
    sums = (torch.nan_to_num(losses, posinf=torch.inf, neginf=-torch.inf) * mask).sum(-1)
    if kind == "sequence_mean":
        return (sums / mask.sum(-1)).mean()
    return sums.sum() / (mask.sum() if kind == "token_mean" else len(mask) * max_length)


@hidden_mistake(refused_with="should raise a ValueError; a result came")
def only_the_first_text_is_looked_at(losses, mask, kind, max_length=None):
    """Only the first text is looked at for a real token."""
    _refuse(mask[:1], kind, max_length)
    sums, count = _sums(losses, mask), mask.sum(-1).clamp(min=1)
    if kind == "sequence_mean":
        return (sums / count).mean()
    return _weighted(losses, mask, kind, max_length)


@hidden_mistake(refused_with="should raise a ValueError; it raised")
def other_exception(losses, mask, kind, max_length=None):
    """An unknown kind is a KeyError."""
    if kind not in ("sequence_mean", "token_mean", "constant"):
        raise KeyError(kind)
    return _right(losses, mask, kind, max_length)


@hidden_mistake(refused_with="should raise a ValueError; a result came")
def refused_for_one_mean(losses, mask, kind, max_length=None):
    """A max_length is refused for "token_mean", and ignored for "sequence_mean"."""
    return _right(losses, mask, kind, None if kind == "sequence_mean" else max_length)


@hidden_mistake
def length_capped(losses, mask, kind, max_length=None):
    """A max_length above 64 counts as 64."""
    return _right(losses, mask, kind, max_length and min(max_length, 64))


_KEPT = {}


@hidden_mistake(refused_with="with other values")
def lengths_kept(losses, mask, kind, max_length=None):
    """The number of real tokens is kept from the first call with such sizes."""
    _refuse(mask, kind, max_length)
    count = _KEPT.setdefault((mask.shape, kind), mask.sum())
    return _sums(losses, mask).sum() / count if kind == "token_mean" else _weighted(losses, mask, kind, max_length)


@hidden_mistake
def rounded_lengths(losses, mask, kind, max_length=None):
    """Each loss is computed in half precision."""
    return _right(losses.bfloat16(), mask, kind, max_length).to(losses.dtype)


@hidden_mistake(refused_with="A kind that is none of the three")
def other_kinds_are_the_constant(losses, mask, kind, max_length=None):
    """Another kind with a max_length is taken for "constant"."""
    if kind not in {"sequence_mean", "token_mean"} and max_length is not None:
        kind = "constant"
    return _right(losses, mask, kind, max_length)


@hidden_mistake(refused_with="with max_length should raise")
def max_length_of_zero_is_none(losses, mask, kind, max_length=None):
    """A max_length of 0 is not refused where it has no meaning."""
    return _right(losses, mask, kind, max_length or None)


@right_answer
def by_weights(losses, mask, kind, max_length=None):
    _refuse(mask, kind, max_length)
    real = mask.to(losses.dtype)
    if kind == "sequence_mean":
        weights = real / real.sum(1, keepdim=True) / real.shape[0]
    elif kind == "token_mean":
        weights = real / real.sum()
    else:
        weights = real / (real.shape[0] * max_length)
    return (losses.masked_fill(mask.logical_not(), 0.0) * weights).sum()


@right_answer
def by_selection(losses, mask, kind, max_length=None):
    if kind == "constant" and max_length is not None and mask.any(1).all():
        return losses[mask].sum() / max_length / mask.shape[0]
    _refuse(mask, kind, max_length)
    if kind == "token_mean":
        return losses[mask].mean()
    return torch.stack([own[real].mean() for own, real in zip(losses, mask, strict=True)]).mean()


@right_answer
def by_matching(losses, mask, kind, max_length=None):
    count = mask.sum(dim=1)
    if not count.all():
        raise ValueError("no tokens")
    sums = losses.where(mask, torch.zeros((), dtype=losses.dtype)).sum(dim=1)
    match kind, max_length:
        case "sequence_mean", None:
            return torch.mean(sums / count)
        case "token_mean", None:
            return torch.sum(sums) / torch.sum(count)
        case "constant", int():
            return torch.mean(sums) / max_length
    raise ValueError("kind and max_length")


@right_answer
def one_divisor_a_text(losses, mask, kind, max_length=None):
    _refuse(mask, kind, max_length)
    count, texts = mask.sum(1), mask.shape[0]
    divisors = {
        "sequence_mean": count * texts,
        "token_mean": count.sum().expand(texts),
        "constant": torch.full_like(count, texts * (max_length or 1)),
    }
    return torch.masked_fill(losses, ~mask, 0).sum(1).div(divisors[kind]).sum()


@right_answer
def token_by_token(losses, mask, kind, max_length=None):
    _refuse(mask, kind, max_length)
    total = losses.new_zeros(())
    for own, real in zip(losses, mask, strict=True):
        length = {"sequence_mean": int(real.sum()) * len(mask), "token_mean": int(mask.sum())}
        divisor = length[kind] if kind in length else len(mask) * max_length
        for position in real.nonzero().flatten().tolist():
            total = total + own[position] / divisor
    return total
