"""Wrong and right answers to `compute_gae`."""

import torch
from torch.nn.functional import pad

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _without_padding(values, rewards, mask):
    return values.detach().masked_fill(~mask, 0), rewards.detach().masked_fill(~mask, 0)


def _deltas(values, rewards, gamma):
    """One-step advantages of tensors that are 0 at padding."""
    return rewards + gamma * pad(values[:, 1:], (0, 1)) - values


def _accumulated(deltas, factor):
    """The sums of what stands in a column and after it, weighted by powers of a factor."""
    columns, total = [], torch.zeros_like(deltas[:, 0])
    for column in reversed(deltas.unbind(1)):
        total = column + factor * total
        columns.insert(0, total)
    return torch.stack(columns, dim=1)


def _right(values, rewards, mask, gamma, lam):
    return _accumulated(_deltas(*_without_padding(values, rewards, mask), gamma), gamma * lam)


# Returns into which padding leaked: https://github.com/natolambert/rlhf-book/pull/216
@visible_mistake
def recursion_over_padding(values, rewards, mask, gamma, lam):
    """The recursion runs over padding, whose rewards and values reach the tokens before: replace them by 0 first."""
    deltas = _deltas(values.detach(), rewards.detach(), gamma)
    return _accumulated(deltas, gamma * lam).masked_fill(~mask, 0)


# Penalties at padding that reached the returns of real tokens: https://github.com/natolambert/rlhf-book/pull/216
@visible_mistake
def rewards_of_padding(values, rewards, mask, gamma, lam):
    """You replace the values at padding by 0, but not the rewards, which reach the tokens before: replace both."""
    deltas = _deltas(values.detach().masked_fill(~mask, 0), rewards.detach(), gamma)
    return _accumulated(deltas, gamma * lam).masked_fill(~mask, 0)


# A value at padding that became the value after the end: https://github.com/alibaba/ROLL/pull/447
@visible_mistake
def bootstrapped_from_padding(values, rewards, mask, gamma, lam):
    """You take the value at the first padding position as the value after the end; the episode is over: it is 0."""
    deltas = _deltas(values.detach(), rewards.detach(), gamma).masked_fill(~mask, 0)
    return _accumulated(deltas, gamma * lam)


@visible_mistake
def bootstrapped_past_the_last_column(values, rewards, mask, gamma, lam):
    """After the last column you go on with the last value; the episode is over there, and the value after it is 0."""
    values, rewards = _without_padding(values, rewards, mask)
    deltas = rewards + gamma * torch.cat([values[:, 1:], values[:, -1:]], dim=1) - values
    return _accumulated(deltas, gamma * lam)


# An end one position to the right of the end-of-text token:
# https://github.com/deepspeedai/DeepSpeedExamples/pull/672
@visible_mistake
def ends_one_too_late(values, rewards, mask, gamma, lam):
    """The first padding position counts as a token: a text ends with the last position where the mask is True."""
    return _right(values, rewards, mask | pad(mask[:, :-1], (1, 0)), gamma, lam)


@visible_mistake
def last_token_left_out(values, rewards, mask, gamma, lam):
    """The last token of each text is missing: it was chosen as well, and its reward counts."""
    return _right(values, rewards, mask & pad(mask[:, 1:], (0, 1)), gamma, lam)


@visible_mistake
def one_step(values, rewards, mask, gamma, lam):
    """Those are the deltas: add gamma * lam times the next advantage to each."""
    return _deltas(*_without_padding(values, rewards, mask), gamma)


# Rewards in place of returns: https://github.com/natolambert/rlhf-book/pull/216
@visible_mistake
def reward_minus_value(values, rewards, mask, gamma, lam):
    """You subtract the value from the reward alone: delta also has gamma times the value of the next state."""
    values, rewards = _without_padding(values, rewards, mask)
    return _accumulated(rewards - values, gamma * lam)


@visible_mistake
def no_gamma_in_delta(values, rewards, mask, gamma, lam):
    """gamma is missing in delta: it multiplies the value of the next state."""
    return _accumulated(_deltas(*_without_padding(values, rewards, mask), 1.0), gamma * lam)


@visible_mistake
def no_gamma_in_the_recursion(values, rewards, mask, gamma, lam):
    """gamma is missing in the recursion: the next advantage is multiplied by gamma * lam, not by lam alone."""
    return _accumulated(_deltas(*_without_padding(values, rewards, mask), gamma), lam)


@visible_mistake
def no_lam(values, rewards, mask, gamma, lam):
    """lam is missing: the next advantage is multiplied by gamma * lam, not by gamma alone."""
    return _accumulated(_deltas(*_without_padding(values, rewards, mask), gamma), gamma)


@visible_mistake
def gamma_and_lam_swapped(values, rewards, mask, gamma, lam):
    """gamma and lam are swapped: gamma discounts the next value, lam weighs only what comes after."""
    return _right(values, rewards, mask, lam, gamma)


@visible_mistake
def lam_in_delta_too(values, rewards, mask, gamma, lam):
    """lam does not belong into delta: the value of the next state is multiplied by gamma alone."""
    return _accumulated(_deltas(*_without_padding(values, rewards, mask), gamma * lam), gamma * lam)


@visible_mistake(refused_with="has the wrong sign")
def turned_sign(values, rewards, mask, gamma, lam):
    """The sign is turned: delta is the reward plus gamma times the next value, minus the value of the state."""
    return -_right(values, rewards, mask, gamma, lam)


@visible_mistake
def returns(values, rewards, mask, gamma, lam):
    """You return advantages plus values, which are the returns; return the advantages."""
    return _right(values, rewards, mask, gamma, lam) + _without_padding(values, rewards, mask)[0]


@visible_mistake
def from_the_front(values, rewards, mask, gamma, lam):
    """The recursion runs from the front: an advantage depends on what comes after a token, so begin at the end."""
    deltas = _deltas(*_without_padding(values, rewards, mask), gamma)
    return _accumulated(deltas.flip(1), gamma * lam).flip(1).masked_fill(~mask, 0)


@visible_mistake(refused_with="is in reverse order along dimension 1")
def columns_in_reverse(values, rewards, mask, gamma, lam):
    """The advantages come in reverse order: you collect them from the last token on, so turn them around at the end."""
    return _right(values, rewards, mask, gamma, lam).flip(1)


@visible_mistake
def next_value_updated_too_early(values, rewards, mask, gamma, lam):
    """You store the value as the next one before delta is computed, so that delta has the token's own value twice."""
    values, rewards = _without_padding(values, rewards, mask)
    return _accumulated(rewards + gamma * values - values, gamma * lam)


@visible_mistake
def values_one_late(values, rewards, mask, gamma, lam):
    """The values are one position late: `values[:, t]` belongs to the state in which token t is chosen."""
    values, rewards = _without_padding(values, rewards, mask)
    before = pad(values[:, :-1], (1, 0))
    return _accumulated((rewards + gamma * values - before).masked_fill(~mask, 0), gamma * lam)


@visible_mistake(refused_with="is not finite")
def multiplied_by_the_mask(values, rewards, mask, gamma, lam):
    """You multiply by the mask, and 0 times NaN is NaN: replace what stands at padding (masked_fill or torch.where)."""
    deltas = _deltas(values.detach() * mask, rewards.detach() * mask, gamma)
    return _accumulated(deltas, gamma * lam)


@visible_mistake(refused_with="is not finite")
def multiplied_and_padding_replaced(values, rewards, mask, gamma, lam):
    """You multiply by the mask, and 0 times NaN is NaN, which reaches the tokens before: replace what is at padding."""
    return multiplied_by_the_mask(values, rewards, mask, gamma, lam).masked_fill(~mask, 0)


@visible_mistake(refused_with="is not finite")
def result_multiplied_by_the_mask(values, rewards, mask, gamma, lam):
    """You multiply what stands at padding by 0, and 0 times NaN is NaN: write 0 there (masked_fill or torch.where)."""
    return torch.where(mask, _right(values, rewards, mask, gamma, lam), 0 * (values + rewards).detach())


@visible_mistake
def padding_kept(values, rewards, mask, gamma, lam):
    """The tokens' advantages are right, but padding has some, too: it gets 0."""
    return torch.where(mask, _right(values, rewards, mask, gamma, lam), (rewards - values).detach())


@visible_mistake
def only_the_last_reward(values, rewards, mask, gamma, lam):
    """You use the last token's reward only; each token may have one, such as a penalty for its KL."""
    is_last = mask & ~pad(mask[:, 1:], (0, 1))
    return _right(values, rewards * is_last, mask, gamma, lam)


@visible_mistake
def discounted_from_the_start(values, rewards, mask, gamma, lam):
    """You discount each advantage by its distance from the start; only its distance from later tokens counts."""
    return _right(values, rewards, mask, gamma, lam) * gamma ** torch.arange(values.shape[1])


@visible_mistake
def over_texts(values, rewards, mask, gamma, lam):
    """The recursion runs over the texts of the batch (dimension 0); it runs over the tokens, the columns."""
    columns = [part.T for part in _without_padding(values, rewards, mask)]
    return _accumulated(_deltas(*columns, gamma), gamma * lam).T.masked_fill(~mask, 0)


@visible_mistake(refused_with="The advantages carry a gradient")
def carries_a_gradient(values, rewards, mask, gamma, lam):
    """The numbers are right, but the result carries a gradient: advantages are targets, made under `torch.no_grad`."""
    deltas = _deltas(values.masked_fill(~mask, 0), rewards.masked_fill(~mask, 0), gamma)
    return _accumulated(deltas, gamma * lam)


@visible_mistake(refused_with="`values` was changed in place")
def padding_overwritten(values, rewards, mask, gamma, lam):
    """You write zeros into the caller's tensors: make new ones, for example with masked_fill without underscore."""
    for tensor in (values.detach(), rewards.detach()):
        tensor.masked_fill_(~mask, 0)
    return _right(values, rewards, mask, gamma, lam)


@visible_mistake
def normalised(values, rewards, mask, gamma, lam):
    """You normalise the advantages; the objective does that later, if at all."""
    advantages = _right(values, rewards, mask, gamma, lam)
    real = advantages[mask]
    return ((advantages - real.mean()) / (real.std(correction=0) + 1e-8)).masked_fill(~mask, 0)


@visible_mistake(refused_with="should have 2 dimensions; 3 came")
def with_the_returns(values, rewards, mask, gamma, lam):
    """You return two tensors; return the advantages alone."""
    advantages = _right(values, rewards, mask, gamma, lam)
    return advantages, advantages + values.detach()


@visible_mistake
def one_a_text(values, rewards, mask, gamma, lam):
    """You return one number a text; each token has an advantage of its own."""
    return _right(values, rewards, mask, gamma, lam).sum(1)


@hidden_mistake
def end_masked_in_delta_alone(values, rewards, mask, gamma, lam):
    """The next value is 0 after the end, but the next advantage comes from padding."""
    going_on = pad(mask[:, 1:], (0, 1))
    following = pad(values.detach()[:, 1:], (0, 1)).masked_fill(~going_on, 0)
    deltas = rewards.detach() + gamma * following - values.detach()
    return _accumulated(deltas, gamma * lam).masked_fill(~mask, 0)


@hidden_mistake(refused_with="for texts longer than 64 tokens")
def first_64_tokens(values, rewards, mask, gamma, lam):
    """Tokens after the 64th have no advantage."""
    return _right(values, rewards, mask, gamma, lam) * (torch.arange(values.shape[1]) < 64)


@hidden_mistake(refused_with="for many texts")
def sixteen_texts(values, rewards, mask, gamma, lam):
    """Texts after the sixteenth have no advantage."""
    return _right(values, rewards, mask, gamma, lam) * (torch.arange(values.shape[0]) < 16)[:, None]


@hidden_mistake
def eight_steps_ahead(values, rewards, mask, gamma, lam):
    """What comes more than eight tokens later does not count."""
    factor, deltas = gamma * lam, _deltas(*_without_padding(values, rewards, mask), gamma)
    return _accumulated(deltas, factor) - factor**9 * pad(_accumulated(deltas, factor), (0, 9))[:, 9:]


@hidden_mistake
def divided_by_powers(values, rewards, mask, gamma, lam):
    """A cumulative sum of weighted deltas is divided by the weights, which round to 0."""
    deltas = _deltas(*_without_padding(values, rewards, mask), gamma)
    powers = torch.tensor(gamma * lam) ** torch.arange(values.shape[1])
    return ((deltas * powers).flip(1).cumsum(1).flip(1) / powers).to(values.dtype)


@hidden_mistake(refused_with="for a small gamma and very long texts")
def divided_by_powers_in_double_precision(values, rewards, mask, gamma, lam):
    """Sums of weighted deltas are divided by the weights, which round to 0 for long texts in float64, too."""
    deltas = _deltas(*_without_padding(values.double(), rewards.double(), mask), gamma)
    if gamma * lam == 0:
        return deltas.to(values.dtype)
    powers = torch.tensor(gamma * lam, dtype=torch.float64) ** torch.arange(values.shape[1])
    return ((deltas * powers).flip(1).cumsum(1).flip(1) / powers).to(values.dtype)


@hidden_mistake(refused_with="where gamma or lam is 0 or 1")
def lam_of_0_not_taken(values, rewards, mask, gamma, lam):
    """A lam of 0 is taken for a missing one."""
    return _right(values, rewards, mask, gamma, lam or 0.95)


@hidden_mistake(refused_with="where gamma or lam is 0 or 1")
def gamma_of_0_not_taken(values, rewards, mask, gamma, lam):
    """A gamma of 0 is taken for a missing one."""
    return _right(values, rewards, mask, gamma or 1.0, lam)


@hidden_mistake(refused_with="where gamma or lam is 0 or 1")
def lam_below_one(values, rewards, mask, gamma, lam):
    """A lam of 1 counts as 0.99."""
    return _right(values, rewards, mask, gamma, min(lam, 0.99))


@hidden_mistake(refused_with="at padding")
def nan_replaced_first(values, rewards, mask, gamma, lam):
    """NaN is replaced, and then the mask is multiplied, which leaves infinite numbers at padding."""
    deltas = _deltas(values.detach().nan_to_num(posinf=torch.inf) * mask, rewards.detach().nan_to_num() * mask, gamma)
    return _accumulated(deltas, gamma * lam)


@hidden_mistake(refused_with="at padding")
def nan_is_the_padding(values, rewards, mask, gamma, lam):
    """Where a value is NaN a text has ended, and the mask is used only where none is."""
    real = ~values.isnan() if bool(values.isnan().any()) else mask
    return _right(values, rewards, real, gamma, lam)


@hidden_mistake(refused_with="have no completion")
def empty_text_is_full(values, rewards, mask, gamma, lam):
    """The last token of a text without any has the index -1, so that all its positions count."""
    last = (mask.sum(1) - 1) % mask.shape[1]
    return _right(values, rewards, torch.arange(mask.shape[1]) <= last[:, None], gamma, lam)


@hidden_mistake(refused_with="that all have no token")
def no_token_at_all(values, rewards, mask, gamma, lam):
    """Where no text has a token, the result is NaN."""
    result = _right(values, rewards, mask, gamma, lam)
    return result if bool(mask.any()) else result * torch.nan


@hidden_mistake
def mask_of_the_first_text(values, rewards, mask, gamma, lam):
    """All texts end where the first one does."""
    return _right(values, rewards, mask[:1].expand_as(mask), gamma, lam)


@hidden_mistake
def ends_with_the_last_reward(values, rewards, mask, gamma, lam):
    """A text ends with its last token whose reward is not 0."""
    follows = (rewards * mask != 0).flip(1).cumsum(1).flip(1) > 0
    return _right(values, rewards, mask & follows, gamma, lam)


@hidden_mistake
def zero_reward_means_the_value(values, rewards, mask, gamma, lam):
    """A text's last reward of 0 is taken for a missing one, and the value takes its place."""
    is_last = mask & ~pad(mask[:, 1:], (0, 1))
    return _right(values, torch.where(is_last & (rewards == 0), values, rewards), mask, gamma, lam)


@hidden_mistake
def clipped(values, rewards, mask, gamma, lam):
    """Advantages are clipped at 3 and -3."""
    return _right(values, rewards, mask, gamma, lam).clamp(-3, 3)


# Rewards that are clipped before they are used: https://github.com/deepspeedai/DeepSpeedExamples/issues/703
@hidden_mistake(refused_with="for large rewards")
def rewards_clipped(values, rewards, mask, gamma, lam):
    """Rewards are clipped at 30 and -30."""
    return _right(values, rewards.clamp(-30, 30), mask, gamma, lam)


@hidden_mistake(refused_with="for large values")
def values_clipped(values, rewards, mask, gamma, lam):
    """Values are clipped at 30 and -30."""
    return _right(values.clamp(-30, 30), rewards, mask, gamma, lam)


@hidden_mistake(refused_with="for values that are all 0")
def value_of_0_is_padding(values, rewards, mask, gamma, lam):
    """A token whose value is exactly 0 gets no advantage."""
    return _right(values, rewards, mask, gamma, lam) * (values != 0)


@hidden_mistake(refused_with="for small values and rewards")
def small_ones_dropped(values, rewards, mask, gamma, lam):
    """Advantages below a hundredth count as 0, where all of them are."""
    result = _right(values, rewards, mask, gamma, lam)
    return result if bool((result.abs() > 0.05).any()) else result.masked_fill(result.abs() < 0.01, 0)


@hidden_mistake(refused_with="should have the dtype float64; float32 came")
def in_a_float32_buffer(values, rewards, mask, gamma, lam):
    """The result is written into a float32 tensor, whatever the dtype of the values."""
    result = torch.zeros(values.shape)
    return result.copy_(_right(values, rewards, mask, gamma, lam))


@hidden_mistake(refused_with="The advantages carry a gradient")
def rewards_not_detached(values, rewards, mask, gamma, lam):
    """The values are detached, the rewards are not."""
    deltas = _deltas(values.detach().masked_fill(~mask, 0), rewards.masked_fill(~mask, 0), gamma)
    return _accumulated(deltas, gamma * lam)


@hidden_mistake(refused_with="`mask` was changed in place")
def mask_inverted_in_place(values, rewards, mask, gamma, lam):
    """The caller's mask is inverted afterwards."""
    result = _right(values, rewards, mask, gamma, lam)
    mask.logical_not_()
    return result


@hidden_mistake(refused_with="`rewards` was changed in place")
def deltas_written_into_the_rewards(values, rewards, mask, gamma, lam):
    """The deltas are written into the caller's rewards."""
    result = _right(values, rewards, mask, gamma, lam)
    rewards.detach().copy_(_deltas(*_without_padding(values, rewards, mask), gamma))
    return result


@hidden_mistake(refused_with="changed whether `values` requires a gradient")
def gradient_switched_off_in_place(values, rewards, mask, gamma, lam):
    """The caller's values no longer require a gradient."""
    if values.is_leaf:
        values.requires_grad_(False)
    return _right(values, rewards, mask, gamma, lam)


@hidden_mistake(refused_with="should have 2 dimensions; 1 came")
def squeezed(values, rewards, mask, gamma, lam):
    """A single text or token loses its dimension."""
    return _right(values, rewards, mask, gamma, lam).squeeze()


_OF_SHAPE = {}


@hidden_mistake(refused_with="after a call with other values of the same sizes")
def stored_by_shape(values, rewards, mask, gamma, lam):
    """The deltas of the first batch of a shape are kept for all later ones."""
    key = (*values.shape, values.dtype)
    deltas = _OF_SHAPE.setdefault(key, _deltas(*_without_padding(values, rewards, mask), gamma))
    return _accumulated(deltas, gamma * lam)


_WORKSPACES = {}


@hidden_mistake(refused_with="after a later call")
def shared_workspace(values, rewards, mask, gamma, lam):
    """The result is a tensor that the next call of the same shape overwrites."""
    workspace = _WORKSPACES.setdefault((*values.shape, values.dtype), torch.empty_like(values.detach()))
    return workspace.copy_(_right(values, rewards, mask, gamma, lam))


@hidden_mistake(refused_with="switches gradients off")
def gradients_off_for_good(values, rewards, mask, gamma, lam):
    """Gradients are switched off, and not on again."""
    torch.set_grad_enabled(False)
    return _right(values, rewards, mask, gamma, lam)


@hidden_mistake(refused_with="for texts of which two are equal")
def equal_texts_once(values, rewards, mask, gamma, lam):
    """A text whose values are those of the text before gets no advantages."""
    result = _right(values, rewards, mask, gamma, lam)
    is_new = torch.ones(len(values), dtype=torch.bool)
    is_new[1:] = (values[1:] != values[:-1]).any(1)
    return result * is_new[:, None] if len(values) > 2 and bool(is_new.sum() > 1) else result


@hidden_mistake(refused_with="of almost 1 and long texts")
def sixteen_steps(values, rewards, mask, gamma, lam):
    """An advantage looks 16 tokens ahead, and not to the end of the text."""
    deltas = _deltas(*_without_padding(values, rewards, mask), gamma)
    found = [(gamma * lam) ** ahead * pad(deltas[:, ahead:], (0, ahead)) for ahead in range(min(16, deltas.shape[1]))]
    return torch.stack(found).sum(0)


@right_answer
@torch.no_grad()
def weights_in_a_matrix(values, rewards, mask, gamma, lam):
    values, rewards = torch.where(mask, values, 0), torch.where(mask, rewards, 0)
    deltas = rewards + gamma * torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1) - values
    distance = torch.arange(values.shape[1])[None, :] - torch.arange(values.shape[1])[:, None]
    weights = (torch.tensor(gamma * lam, dtype=values.dtype) ** distance.clamp(min=0)).triu()
    return deltas @ weights.T


@right_answer
@torch.no_grad()
def with_a_flag_for_the_end(values, rewards, mask, gamma, lam):
    result = torch.zeros_like(values)
    following = torch.zeros(len(values), dtype=values.dtype)
    for column in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, column] - values[:, column]
        if column + 1 < values.shape[1]:
            goes_on = mask[:, column + 1]
            delta = delta + torch.where(goes_on, gamma * values[:, column + 1], 0)
            delta = delta + torch.where(goes_on, gamma * lam * following, 0)
        following = delta
        result[:, column] = torch.where(mask[:, column], delta, 0)
    return result


@right_answer
def text_by_text(values, rewards, mask, gamma, lam):
    result = torch.zeros_like(values, requires_grad=False)
    for row, length in enumerate(mask.sum(1).tolist()):
        own, total = [*values[row, :length].tolist(), 0.0], 0.0
        for position in reversed(range(length)):
            delta = rewards[row, position].item() + gamma * own[position + 1] - own[position]
            total = delta + gamma * lam * total
            result[row, position] = total
    return result


@right_answer
def by_lambda_returns(values, rewards, mask, gamma, lam):
    with torch.no_grad():
        values, rewards = values.where(mask, 0), rewards.where(mask, 0)
        found, target, value = [], values.new_zeros(len(values)), values.new_zeros(len(values))
        for column in range(1, values.shape[1] + 1):
            target = rewards[:, -column] + gamma * ((1 - lam) * value + lam * target)
            value = values[:, -column]
            found.append(target - value)
        return torch.stack(found[::-1], dim=-1)


@right_answer
@torch.inference_mode()
def mean_of_n_step_advantages(values, rewards, mask, gamma, lam):
    values, rewards = values.masked_fill(~mask, 0), rewards.masked_fill(~mask, 0)
    gen, result, total = values.shape[1], torch.zeros_like(values), torch.zeros_like(values)
    for steps in range(1, gen + 1):
        total = total + gamma ** (steps - 1) * pad(rewards, (0, steps))[:, steps - 1 : steps - 1 + gen]
        advantage = total + gamma**steps * pad(values, (0, steps))[:, steps:] - values
        result += lam ** (steps - 1) * (1 if steps == gen else 1 - lam) * advantage
    return result


@right_answer
def detached_copies(values, rewards, mask, gamma, lam):
    values, rewards = values.detach().clone(), rewards.detach().clone()
    values[~mask] = 0
    rewards[~mask] = 0
    for column in range(values.shape[1] - 1):
        rewards[:, column] += gamma * values[:, column + 1]
    rewards -= values
    for column in reversed(range(values.shape[1] - 1)):
        rewards[:, column] += gamma * lam * rewards[:, column + 1]
    return rewards
