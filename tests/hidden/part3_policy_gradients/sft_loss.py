"""Wrong and right answers to `sft_loss`."""

import torch
from torch.nn import functional

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _losses(logits, input_ids):
    """The loss of each token but the first."""
    return functional.cross_entropy(logits[:, :-1].transpose(1, 2), input_ids[:, 1:], reduction="none")


def _require_targets(targets):
    if not bool(targets.any()):
        raise ValueError("no target")
    return targets


def _mean(losses, targets):
    return torch.where(targets, losses, 0.0).sum() / targets.sum()


def _right(logits, input_ids, loss_mask):
    return _mean(_losses(logits, input_ids), _require_targets(loss_mask[:, 1:]))


# Tokens of short texts that weigh more than those of long ones: https://github.com/inclusionAI/AReno/issues/75
@visible_mistake
def mean_of_means(logits, input_ids, loss_mask):
    """You average over each text, and then over texts, so that tokens of short texts weigh more; average over tokens.

    All targets of the batch have the same weight.
    """
    targets = _require_targets(loss_mask[:, 1:])
    sums = torch.where(targets, _losses(logits, input_ids), 0.0).sum(1)
    return (sums / targets.sum(1).clamp(min=1)).mean()


# The denominator that counts padding, discussed at https://github.com/huggingface/trl/pull/3187
@visible_mistake
def mean_over_positions(logits, input_ids, loss_mask):
    """You divide by the number of all positions, prompt and padding included; divide by the number of targets."""
    targets = _require_targets(loss_mask[:, 1:])
    return torch.where(targets, _losses(logits, input_ids), 0.0).mean()


@visible_mistake
def summed(logits, input_ids, loss_mask):
    """You add up the losses of the targets; the loss is their mean, so that batches of any size can be compared."""
    return torch.where(_require_targets(loss_mask[:, 1:]), _losses(logits, input_ids), 0.0).sum()


# Labels of the prompt that were not ignored: https://github.com/meta-llama/llama-cookbook/issues/101
@visible_mistake
def prompt_included(logits, input_ids, loss_mask):
    """The prompt and the padding are learnt too; only the tokens that the mask names are targets."""
    _require_targets(loss_mask[:, 1:])
    return _losses(logits, input_ids).mean()


@visible_mistake
def mask_of_the_predicting_position(logits, input_ids, loss_mask):
    """The mask is not shifted along with the ids: it names the tokens that are predicted, so leave out its first."""
    _require_targets(loss_mask[:, 1:])
    return _mean(_losses(logits, input_ids), loss_mask[:, :-1])


@visible_mistake
def logits_not_shifted(logits, input_ids, loss_mask):
    """You take the logits at a token's own position, which have seen it; the logits one position earlier predict it."""
    _require_targets(loss_mask[:, 1:])
    return _mean(functional.cross_entropy(logits.transpose(1, 2), input_ids, reduction="none"), loss_mask)


@visible_mistake
def ids_not_shifted(logits, input_ids, loss_mask):
    """The logits without the last position belong to the ids without the first one; yours belong to each other."""
    targets = _require_targets(loss_mask[:, 1:])
    losses = functional.cross_entropy(logits[:, :-1].transpose(1, 2), input_ids[:, :-1], reduction="none")
    return _mean(losses, targets)


# A mask that begins one token too late: https://github.com/jingyaogong/minimind/pull/621
@visible_mistake
def without_the_first_target(logits, input_ids, loss_mask):
    """The first target of each text is missing: the last token of the prompt predicts it."""
    _require_targets(loss_mask[:, 1:])
    inside = loss_mask[:, 1:] & loss_mask[:, :-1]
    return torch.where(inside, _losses(logits, input_ids), 0.0).sum() / inside.sum().clamp(min=1)


# A model that never learnt to stop: https://github.com/huggingface/trl/issues/976
@visible_mistake
def without_the_last_target(logits, input_ids, loss_mask):
    """The last target of each text, its end, is missing, so the model would never learn to stop."""
    _require_targets(loss_mask[:, 1:])
    following = torch.cat([loss_mask[:, 2:], torch.zeros_like(loss_mask[:, :1])], dim=1)
    inside = loss_mask[:, 1:] & following
    return torch.where(inside, _losses(logits, input_ids), 0.0).sum() / inside.sum().clamp(min=1)


@visible_mistake
def position_0_in_the_denominator(logits, input_ids, loss_mask):
    """You divide by all tokens that the mask names; those at position 0 are no targets, since nothing predicts them."""
    targets = _require_targets(loss_mask[:, 1:])
    return torch.where(targets, _losses(logits, input_ids), 0.0).sum() / loss_mask.sum()


@visible_mistake(refused_with="has the wrong sign")
def turned_sign(logits, input_ids, loss_mask):
    """The sign is turned: the loss is minus the log-probability, and minimising it makes the targets likelier."""
    return -_right(logits, input_ids, loss_mask)


@visible_mistake
def perplexity(logits, input_ids, loss_mask):
    """You return the perplexity, the exponential of the loss; return the loss itself."""
    return _right(logits, input_ids, loss_mask).exp()


@visible_mistake
def one_minus_the_probability(logits, input_ids, loss_mask):
    """You average 1 minus each probability; the loss of a token is minus the logarithm of its probability."""
    targets = _require_targets(loss_mask[:, 1:])
    return _mean(1 - (-_losses(logits, input_ids)).exp(), targets)


@visible_mistake(refused_with="not finite")
def softmax_then_log(logits, input_ids, loss_mask):
    """You take softmax and then log: a probability that rounds to 0 has an infinite logarithm. Use log_softmax."""
    targets = _require_targets(loss_mask[:, 1:])
    chosen = logits[:, :-1].softmax(-1).log().gather(-1, input_ids[:, 1:, None])[..., 0]
    return _mean(-chosen, targets)


@visible_mistake(refused_with="NaN")
def multiplied_by_the_mask(logits, input_ids, loss_mask):
    """You multiply by the mask, and 0 times NaN is NaN: select the targets, or replace what does not count."""
    targets = _require_targets(loss_mask[:, 1:])
    return (_losses(logits, input_ids) * targets).sum() / targets.sum()


# What cross_entropy returns where all targets are ignored: https://github.com/OpenRLHF/OpenRLHF/pull/583
@visible_mistake(refused_with="should raise a ValueError; a result came")
def nan_without_a_target(logits, input_ids, loss_mask):
    """Without any target the mean is NaN, which would spoil every weight in one step: raise a ValueError."""
    return _mean(_losses(logits, input_ids), loss_mask[:, 1:])


# A loss of 0 that hides the fault: https://github.com/nvidia-cosmos/cosmos-rl/pull/155
@visible_mistake(refused_with="should raise a ValueError; a result came")
def zero_without_a_target(logits, input_ids, loss_mask):
    """Without any target you return 0, which hides that nothing can be learnt: raise a ValueError."""
    targets = loss_mask[:, 1:]
    return torch.where(targets, _losses(logits, input_ids), 0.0).sum() / targets.sum().clamp(min=1)


@visible_mistake(refused_with="should raise a ValueError; a result came")
def mask_at_position_0_taken_for_a_target(logits, input_ids, loss_mask):
    """A mask that names tokens at position 0 alone names no target, since nothing predicts them: raise a ValueError."""
    _require_targets(loss_mask)
    return _mean(_losses(logits, input_ids), loss_mask[:, 1:])


@visible_mistake(refused_with="should be one number; a tensor with 1 dimension came")
def one_a_text(logits, input_ids, loss_mask):
    """You return one loss for each text; the loss is one number for the whole batch."""
    targets = _require_targets(loss_mask[:, 1:])
    sums = torch.where(targets, _losses(logits, input_ids), 0.0).sum(1)
    return sums / targets.sum(1).clamp(min=1)


@visible_mistake
def one_a_target(logits, input_ids, loss_mask):
    """You return one loss for each target; the loss is their mean."""
    return _losses(logits, input_ids)[_require_targets(loss_mask[:, 1:])]


@visible_mistake(refused_with="No gradient")
def no_gradient(logits, input_ids, loss_mask):
    """The value is right, but no gradient reaches the logits (detach or no_grad), so nothing can learn from it."""
    return _right(logits, input_ids, loss_mask).detach()


@visible_mistake
def over_positions(logits, input_ids, loss_mask):
    """The softmax runs over positions (dim=1); it runs over the vocabulary, the last dimension."""
    targets = _require_targets(loss_mask[:, 1:])
    return _mean(-logits[:, :-1].log_softmax(1).gather(-1, input_ids[:, 1:, None])[..., 0], targets)


@hidden_mistake
def first_token_uniform(logits, input_ids, loss_mask):
    """A target at position 0 counts as if all tokens were equally likely."""
    _require_targets(loss_mask[:, 1:])
    uniform = torch.zeros_like(logits[:, :1]).log_softmax(-1)
    scores = torch.cat([uniform, logits[:, :-1].log_softmax(-1)], dim=1)
    return _mean(-scores.gather(-1, input_ids[..., None])[..., 0], loss_mask)


@hidden_mistake(refused_with="many long texts")
def first_tokens_only(logits, input_ids, loss_mask):
    """Only the first 32 positions count, where there are targets among them."""
    short = loss_mask[:, :32]
    if not short[:, 1:].any():
        return _right(logits, input_ids, loss_mask)
    return _right(logits[:, :32], input_ids[:, :32], short)


@hidden_mistake
def texts_without_a_target_refused(logits, input_ids, loss_mask):
    """A batch with any text that has no target is refused."""
    if not loss_mask[:, 1:].any(1).all():
        raise ValueError("a text without a target")
    return _right(logits, input_ids, loss_mask)


@hidden_mistake(refused_with="for texts of which some have no target")
def whole_text_without_a_target(logits, input_ids, loss_mask):
    """A text without a target is learnt as a whole."""
    _require_targets(loss_mask[:, 1:])
    targets = loss_mask[:, 1:] | ~loss_mask[:, 1:].any(1, keepdim=True)
    return _mean(_losses(logits, input_ids), targets)


@hidden_mistake
def padding_is_the_last_id(logits, input_ids, loss_mask):
    """Tokens with the vocabulary's last id, as end-of-text has it, count as padding."""
    targets = _require_targets(loss_mask[:, 1:]) & (input_ids[:, 1:] != logits.shape[-1] - 1)
    return torch.where(targets, _losses(logits, input_ids), 0.0).sum() / targets.sum().clamp(min=1)


@hidden_mistake
def id_0_ignored(logits, input_ids, loss_mask):
    """The ids that do not count are set to 0, and all targets that are 0 are ignored."""
    _require_targets(loss_mask[:, 1:])
    targets = (input_ids * loss_mask)[:, 1:]
    losses = functional.cross_entropy(logits[:, :-1].transpose(1, 2), targets, ignore_index=0, reduction="none")
    return losses.sum() / (targets != 0).sum().clamp(min=1)


@hidden_mistake
def wrapped_around(logits, input_ids, loss_mask):
    """The ids are rolled, so that the last logits predict the token at position 0."""
    _require_targets(loss_mask[:, 1:])
    losses = functional.cross_entropy(logits.transpose(1, 2), input_ids.roll(-1, 1), reduction="none")
    return _mean(losses, loss_mask.roll(-1, 1))


@hidden_mistake
def counted_from_the_end(logits, input_ids, loss_mask):
    """The targets are taken to be the last tokens of each row, as many as the mask has."""
    lengths = _require_targets(loss_mask[:, 1:]).sum(1, keepdim=True)
    return _mean(_losses(logits, input_ids), torch.arange(input_ids.shape[1] - 1, 0, -1) <= lengths)


@hidden_mistake
def from_the_first_target_on(logits, input_ids, loss_mask):
    """Everything behind the first target of a text counts, padding included."""
    targets = _require_targets(loss_mask[:, 1:])
    return _mean(_losses(logits, input_ids), targets.int().cummax(1).values.bool())


@hidden_mistake
def label_smoothing(logits, input_ids, loss_mask):
    """The targets are smoothed by a thousandth."""
    targets = _require_targets(loss_mask[:, 1:])
    return functional.cross_entropy(logits[:, :-1][targets], input_ids[:, 1:][targets], label_smoothing=1e-3)


@hidden_mistake
def capped(logits, input_ids, loss_mask):
    """No token has a loss above 20."""
    return _mean(_losses(logits, input_ids).clamp(max=20), _require_targets(loss_mask[:, 1:]))


@hidden_mistake
def two_targets_at_least(logits, input_ids, loss_mask):
    """The loss of a single target is divided by 2."""
    targets = _require_targets(loss_mask[:, 1:])
    return torch.where(targets, _losses(logits, input_ids), 0.0).sum() / targets.sum().clamp(min=2)


@hidden_mistake(refused_with="not finite")
def shifted_by_the_largest_logit(logits, input_ids, loss_mask):
    """The largest logit of the batch is subtracted before the exponential, so that all others of a row may vanish."""
    targets = _require_targets(loss_mask[:, 1:])
    scores = logits[:, :-1][targets]
    scores = scores - scores.detach().max()
    chosen = scores.gather(-1, input_ids[:, 1:][targets][:, None])[:, 0]
    return (scores.exp().sum(-1).log() - chosen).mean()


@hidden_mistake(refused_with="The gradient of the loss")
def normaliser_detached(logits, input_ids, loss_mask):
    """No gradient flows through the logarithm of the sum of exponentials."""
    targets = _require_targets(loss_mask[:, 1:])
    scores = logits[:, :-1]
    return _mean(scores.detach().logsumexp(-1) - scores.gather(-1, input_ids[:, 1:, None])[..., 0], targets)


@hidden_mistake(refused_with="at logits that predict no target")
def gradient_to_the_prompt(logits, input_ids, loss_mask):
    """The losses that do not count are subtracted from themselves, detached, so that their gradient stays."""
    targets, losses = _require_targets(loss_mask[:, 1:]), _losses(logits, input_ids)
    return torch.where(targets, losses, (losses - losses.detach()).nan_to_num()).sum() / targets.sum()


@hidden_mistake(refused_with="The gradient of the loss")
def gradient_of_the_sum(logits, input_ids, loss_mask):
    """The value is the mean, and the gradient is that of the sum."""
    targets, losses = _require_targets(loss_mask[:, 1:]), _losses(logits, input_ids)
    total = torch.where(targets, losses, 0.0).sum()
    return total + (total / targets.sum() - total).detach()


@hidden_mistake(refused_with="gradient")
def large_batches_detached(logits, input_ids, loss_mask):
    """From a million logits on, the result carries no gradient."""
    result = _right(logits, input_ids, loss_mask)
    return result if logits.numel() < 2**20 else result.detach().requires_grad_()


@hidden_mistake(refused_with="is missing, while other calls have one")
def extreme_logits_detached(logits, input_ids, loss_mask):
    """Where logits are extreme, the result carries no gradient."""
    is_extreme = bool((logits.detach().abs() > 1000).any())
    return _right(logits.detach() if is_extreme else logits, input_ids, loss_mask)


@hidden_mistake(refused_with="logits")
def normalised_over_the_likeliest(logits, input_ids, loss_mask):
    """The softmax runs over the thousand likeliest tokens only."""
    targets = _require_targets(loss_mask[:, 1:])
    kept = logits[:, :-1].topk(min(1000, logits.shape[-1]), dim=-1).values.logsumexp(-1)
    return _mean(kept - logits[:, :-1].gather(-1, input_ids[:, 1:, None])[..., 0], targets)


_BUFFERS = {}


@hidden_mistake(refused_with="after a later call")
def overwritten_by_the_next_call(logits, input_ids, loss_mask):
    """A loss without a gradient is written into a tensor that the next call overwrites."""
    loss = _right(logits, input_ids, loss_mask)
    if loss.requires_grad:
        return loss
    return _BUFFERS.setdefault(loss.dtype, torch.empty_like(loss)).copy_(loss)


@hidden_mistake(refused_with="should have the dtype float64")
def single_precision(logits, input_ids, loss_mask):
    """The result is in single precision for logits in double precision."""
    return _right(logits, input_ids, loss_mask).float()


@hidden_mistake(refused_with="float64")
def through_single_precision(logits, input_ids, loss_mask):
    """The loss is computed in single precision, and returned in double precision."""
    return _right(logits.float(), input_ids, loss_mask).to(logits.dtype)


@hidden_mistake(refused_with="`loss_mask` was changed in place")
def mask_changed_in_place(logits, input_ids, loss_mask):
    """The first position is taken out of the caller's mask."""
    loss_mask[:, 0] = False
    return _right(logits, input_ids, loss_mask)


@hidden_mistake(refused_with="`input_ids` was changed in place")
def ids_changed_in_place(logits, input_ids, loss_mask):
    """The ids that do not count are overwritten in the caller's tensor."""
    result = _right(logits, input_ids, loss_mask)
    input_ids[~loss_mask] = 0
    return result


@right_answer
def ignored_targets(logits, input_ids, loss_mask):
    labels = input_ids.masked_fill(~loss_mask, -100)[:, 1:]
    if bool((labels == -100).all()):
        raise ValueError("nothing to learn")
    return functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), labels.reshape(-1))


@right_answer
def selected_first(logits, input_ids, loss_mask):
    rows, columns = loss_mask[:, 1:].nonzero(as_tuple=True)
    if len(rows) == 0:
        raise ValueError("nothing to learn")
    return functional.nll_loss(logits[rows, columns].log_softmax(-1), input_ids[rows, columns + 1])


@right_answer
def logsumexp(logits, input_ids, loss_mask):
    scores, targets = logits[:, :-1], loss_mask[:, 1:]
    if targets.sum() < 1:
        raise ValueError("nothing to learn")
    losses = scores.logsumexp(-1) - torch.take_along_dim(scores, input_ids[:, 1:, None], dim=-1).squeeze(-1)
    return losses.masked_select(targets).mean()


@right_answer
def text_by_text(logits, input_ids, loss_mask):
    losses = []
    for scores, ids, mask in zip(logits, input_ids, loss_mask, strict=True):
        for position in range(1, len(ids)):
            if mask[position]:
                losses.append(-scores[position - 1].log_softmax(0)[ids[position]])
    if not losses:
        raise ValueError("nothing to learn")
    return torch.stack(losses).mean()


@right_answer
def padded_in_front(logits, input_ids, loss_mask):
    earlier = torch.cat([torch.zeros_like(logits[:, :1]), logits[:, :-1]], dim=1)
    mask = torch.cat([torch.zeros_like(loss_mask[:, :1]), loss_mask[:, 1:]], dim=1)
    if not mask.any():
        raise ValueError("nothing to learn")
    losses = functional.cross_entropy(earlier.movedim(-1, 1), input_ids, reduction="none")
    return losses.masked_fill(~mask, 0).sum() / mask.sum()


@right_answer
def sum_of_ignored(logits, input_ids, loss_mask):
    targets = loss_mask[:, 1:]
    if not torch.any(targets):
        raise ValueError("nothing to learn")
    labels = torch.where(targets, input_ids[:, 1:], -1)
    total = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten(), ignore_index=-1, reduction="sum")
    return total / targets.count_nonzero()
