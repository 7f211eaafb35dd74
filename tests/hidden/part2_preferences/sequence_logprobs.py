"""Wrong and right answers to `sequence_logprobs`."""

import torch
from torch.nn import functional

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _chosen(logits, input_ids):
    """The log-probability of each token but the first."""
    return logits[:, :-1].log_softmax(-1).gather(-1, input_ids[:, 1:, None]).squeeze(-1)


def _sum(logprobs, mask):
    return torch.where(mask, logprobs, 0.0).sum(-1)


def _right(logits, input_ids, completion_mask):
    return _sum(_chosen(logits, input_ids), completion_mask[:, 1:])


# The length bias that a mean brings, discussed at https://github.com/sail-sg/understand-r1-zero/issues/11
@visible_mistake
def mean_over_tokens(logits, input_ids, completion_mask):
    """You average over the completion's tokens; the log-probability of a text is the sum of its tokens'."""
    return _right(logits, input_ids, completion_mask) / completion_mask[:, 1:].sum(-1).clamp(min=1)


# The denominator that counts padding, discussed at https://github.com/huggingface/trl/pull/3187
@visible_mistake
def mean_over_positions(logits, input_ids, completion_mask):
    """You average over all positions, padding included; the log-probability of a text is the sum of its tokens'."""
    return torch.where(completion_mask[:, 1:], _chosen(logits, input_ids), 0.0).mean(-1)


# Whether the prompt's tokens count, as users discussed: https://github.com/OpenRLHF/OpenRLHF/issues/235
@visible_mistake
def prompt_included(logits, input_ids, completion_mask):
    """The prompt and the padding count too; only the tokens where the mask is True do."""
    return _chosen(logits, input_ids).sum(-1)


# A mask that is shifted the wrong way: https://github.com/Goekdeniz-Guelmez/mlx-lm-lora/issues/80
@visible_mistake
def mask_of_the_predicting_position(logits, input_ids, completion_mask):
    """The mask is not shifted along with the tokens: take the mask of the token that is predicted, `[:, 1:]`."""
    return _sum(_chosen(logits, input_ids), completion_mask[:, :-1])


# Why logits and ids are shifted, as a user asked: https://github.com/huggingface/trl/issues/1172
@visible_mistake
def logits_not_shifted(logits, input_ids, completion_mask):
    """You take the logits at a token's own position; the logits one position earlier predict it."""
    chosen = logits.log_softmax(-1).gather(-1, input_ids[..., None]).squeeze(-1)
    return _sum(chosen, completion_mask)


@visible_mistake
def ids_not_shifted(logits, input_ids, completion_mask):
    """The logits without the last position belong to the ids without the first one; yours belong to each other."""
    chosen = logits[:, :-1].log_softmax(-1).gather(-1, input_ids[:, :-1, None]).squeeze(-1)
    return _sum(chosen, completion_mask[:, 1:])


# A mask that begins one token too late: https://github.com/jingyaogong/minimind/pull/621
@visible_mistake
def without_the_first_token(logits, input_ids, completion_mask):
    """The completion's first token is missing: the last token of the prompt predicts it."""
    inside = completion_mask[:, 1:] & completion_mask[:, :-1]
    return _sum(_chosen(logits, input_ids), inside)


# An end-of-text token that is taken for padding: https://github.com/huggingface/trl/issues/3750
@visible_mistake
def without_the_last_token(logits, input_ids, completion_mask):
    """The completion's last token, its end, is missing; it belongs to the completion like all others."""
    following = torch.cat([completion_mask[:, 2:], torch.zeros_like(completion_mask[:, :1])], dim=1)
    return _sum(_chosen(logits, input_ids), completion_mask[:, 1:] & following)


@visible_mistake
def logits_summed(logits, input_ids, completion_mask):
    """You sum logits; sum log-probabilities, which are normalised over the vocabulary."""
    return _sum(logits[:, :-1].gather(-1, input_ids[:, 1:, None]).squeeze(-1), completion_mask[:, 1:])


@visible_mistake
def probabilities_summed(logits, input_ids, completion_mask):
    """You sum probabilities; sum their logarithms, which is the logarithm of their product."""
    return _sum(_chosen(logits, input_ids).exp(), completion_mask[:, 1:])


@visible_mistake(refused_with="has the wrong sign")
def turned_sign(logits, input_ids, completion_mask):
    """The sign is turned: a log-probability is negative. (Cross-entropy is minus the log-probability.)"""
    return -_right(logits, input_ids, completion_mask)


@visible_mistake(refused_with="not finite")
def softmax_then_log(logits, input_ids, completion_mask):
    """You take softmax and then log: a probability that rounds to 0 has an infinite logarithm. Use log_softmax."""
    chosen = logits[:, :-1].softmax(-1).log().gather(-1, input_ids[:, 1:, None]).squeeze(-1)
    return _sum(chosen, completion_mask[:, 1:])


@visible_mistake(refused_with="NaN")
def multiplied_by_the_mask(logits, input_ids, completion_mask):
    """You multiply by the mask, and 0 times NaN is NaN: replace what does not count (masked_fill or torch.where)."""
    return (_chosen(logits, input_ids) * completion_mask[:, 1:]).sum(-1)


@visible_mistake(refused_with="should have 1 dimension; 0 came")
def one_total(logits, input_ids, completion_mask):
    """You return one number for the whole batch; each text has one of its own."""
    return _right(logits, input_ids, completion_mask).sum()


@visible_mistake
def one_a_token(logits, input_ids, completion_mask):
    """You return one number for each token; each text has one, their sum."""
    return torch.where(completion_mask[:, 1:], _chosen(logits, input_ids), 0.0)


@visible_mistake(refused_with="No gradient")
def no_gradient(logits, input_ids, completion_mask):
    """The value is right, but no gradient reaches the logits (detach or no_grad), so nothing can learn from it."""
    return _right(logits, input_ids, completion_mask).detach()


@visible_mistake
def over_positions(logits, input_ids, completion_mask):
    """The softmax runs over positions (dim=1); it runs over the vocabulary, the last dimension."""
    chosen = logits[:, :-1].log_softmax(1).gather(-1, input_ids[:, 1:, None]).squeeze(-1)
    return _sum(chosen, completion_mask[:, 1:])


@hidden_mistake(refused_with="for texts of which some have no completion")
def nan_without_completion(logits, input_ids, completion_mask):
    """A text without completion is divided by its number of tokens."""
    count = completion_mask[:, 1:].sum(-1)
    return _right(logits, input_ids, completion_mask) * count / count


@hidden_mistake
def first_token_uniform(logits, input_ids, completion_mask):
    """A completion's token at position 0 counts as if all tokens were equally likely."""
    first = -torch.tensor(float(logits.shape[-1])).log() * completion_mask[:, 0]
    return (_right(logits, input_ids, completion_mask) + first).to(logits.dtype)


@hidden_mistake(refused_with="many long texts")
def first_tokens_only(logits, input_ids, completion_mask):
    """Only the first 32 positions count."""
    return _right(logits[:, :32], input_ids[:, :32], completion_mask[:, :32])


@hidden_mistake(refused_with="for texts that all have no completion")
def no_completion_at_all(logits, input_ids, completion_mask):
    """Where no text has a completion, the result is minus infinity."""
    result = _right(logits, input_ids, completion_mask)
    return result if completion_mask.any() else result - torch.inf


_BUFFERS = {}


@hidden_mistake(refused_with="a later call must not change a result")
def overwritten_by_the_next_call(logits, input_ids, completion_mask):
    """Without gradients, the result is written into a tensor that the next call overwrites."""
    result = _right(logits, input_ids, completion_mask)
    if result.requires_grad:
        return result
    buffer = _BUFFERS.setdefault((len(result), result.dtype), torch.empty_like(result))
    return buffer.copy_(result)


@hidden_mistake
def floor(logits, input_ids, completion_mask):
    """No token counts less than -20."""
    return _sum(_chosen(logits, input_ids).clamp(min=-20), completion_mask[:, 1:])


@hidden_mistake(refused_with="should have the dtype float64")
def single_precision(logits, input_ids, completion_mask):
    """The result is in single precision for inputs in double precision."""
    return _right(logits, input_ids, completion_mask).float()


@hidden_mistake(refused_with="`completion_mask` was changed in place")
def mask_changed_in_place(logits, input_ids, completion_mask):
    """The first position is taken out of the caller's mask."""
    result = _right(logits, input_ids, completion_mask)
    completion_mask[:, 0] = False
    return result


@hidden_mistake(refused_with="logits")
def normalised_over_the_likeliest(logits, input_ids, completion_mask):
    """The softmax runs over the thousand likeliest tokens only."""
    kept = logits[:, :-1].topk(min(1000, logits.shape[-1]), dim=-1).values.logsumexp(-1)
    chosen = logits[:, :-1].gather(-1, input_ids[:, 1:, None]).squeeze(-1) - kept
    return _sum(chosen, completion_mask[:, 1:])


@hidden_mistake
def padding_is_the_last_id(logits, input_ids, completion_mask):
    """Tokens with the vocabulary's last id, as end-of-text has it, count as padding."""
    return _right(logits, input_ids, completion_mask & (input_ids != logits.shape[-1] - 1))


@hidden_mistake(refused_with="gradient")
def long_texts_detached(logits, input_ids, completion_mask):
    """From a million logits on, the result carries no gradient."""
    result = _right(logits, input_ids, completion_mask)
    return result if logits.numel() < 2**20 else result.detach().requires_grad_()


@hidden_mistake(refused_with="is wrong only for texts whose mask is True at the first position")
def wrapped_around(logits, input_ids, completion_mask):
    """The ids are rolled, so that the last logits predict the token at position 0."""
    chosen = logits.log_softmax(-1).gather(-1, input_ids.roll(-1, 1)[..., None]).squeeze(-1)
    return _sum(chosen, completion_mask.roll(-1, 1))


@hidden_mistake(refused_with="that have the token id 0 where the mask is True")
def id_0_ignored(logits, input_ids, completion_mask):
    """The ids that do not count are set to 0, and all targets that are 0 are ignored."""
    targets = (input_ids * completion_mask)[:, 1:]
    return -functional.cross_entropy(logits[:, :-1].transpose(1, 2), targets, ignore_index=0, reduction="none").sum(1)


@hidden_mistake(refused_with="The gradient of the log-probability")
def normaliser_detached(logits, input_ids, completion_mask):
    """No gradient flows through the logarithm of the sum of exponentials."""
    scores = logits[:, :-1]
    chosen = scores.gather(-1, input_ids[:, 1:, None]).squeeze(-1) - scores.detach().logsumexp(-1)
    return _sum(chosen, completion_mask[:, 1:])


@hidden_mistake(refused_with="is wrong only for texts whose mask is False at the last position")
def counted_from_the_end(logits, input_ids, completion_mask):
    """The completion is taken to be the last tokens of the row, as many as the mask has."""
    lengths = completion_mask[:, 1:].sum(1, keepdim=True)
    from_the_end = torch.arange(input_ids.shape[1] - 1, 0, -1)
    return _sum(_chosen(logits, input_ids), from_the_end <= lengths)


@hidden_mistake(refused_with="`input_ids` was changed in place")
def ids_changed_in_place(logits, input_ids, completion_mask):
    """The ids that do not count are overwritten in the caller's tensor."""
    input_ids[~completion_mask] = 0
    return _right(logits, input_ids, completion_mask)


@hidden_mistake(refused_with="is missing, while other calls have one")
def extreme_logits_detached(logits, input_ids, completion_mask):
    """Where logits are extreme, the result carries no gradient."""
    is_extreme = bool((logits.detach().abs() > 1000).any())
    return _right(logits.detach() if is_extreme else logits, input_ids, completion_mask)


@right_answer
def cross_entropy(logits, input_ids, completion_mask):
    losses = functional.cross_entropy(logits[:, :-1].transpose(1, 2), input_ids[:, 1:], reduction="none")
    return -losses.masked_fill(~completion_mask[:, 1:], 0).sum(1)


@right_answer
def ignored_targets(logits, input_ids, completion_mask):
    targets = input_ids.masked_fill(~completion_mask, -100)[:, 1:]
    losses = functional.cross_entropy(logits[:, :-1].transpose(1, 2), targets, ignore_index=-100, reduction="none")
    return -losses.sum(-1)


@right_answer
def logsumexp(logits, input_ids, completion_mask):
    scores = logits[:, :-1]
    chosen = torch.take_along_dim(scores, input_ids[:, 1:, None], dim=-1)[..., 0] - scores.logsumexp(-1)
    return torch.where(completion_mask[:, 1:], chosen, torch.zeros_like(chosen)).sum(1)


@right_answer
def text_by_text(logits, input_ids, completion_mask):
    totals = []
    for scores, ids, mask in zip(logits, input_ids, completion_mask, strict=True):
        places = mask[1:].nonzero().flatten()
        totals.append(scores[places].log_softmax(-1)[torch.arange(len(places)), ids[places + 1]].sum())
    return torch.stack(totals)


@right_answer
def indexed(logits, input_ids, completion_mask):
    rows, columns = completion_mask[:, 1:].nonzero(as_tuple=True)
    picked = logits[rows, columns].log_softmax(-1)[torch.arange(len(rows)), input_ids[rows, columns + 1]]
    return torch.zeros(len(logits), dtype=logits.dtype).index_add(0, rows, picked)
