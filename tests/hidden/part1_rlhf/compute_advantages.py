"""Wrong and right answers to `compute_advantages`."""

from functools import lru_cache

import torch
from torch.nn.functional import pad

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _q(values, rewards, prefix_len):
    return torch.cat([values[:, prefix_len:-1], rewards[:, None]], dim=1).detach()


@visible_mistake
@torch.no_grad()
def reward_unused(values, rewards, prefix_len):
    """You do not use the reward: Q of the last token is the reward, not the value of the state after it."""
    return values[:, prefix_len:] - values[:, prefix_len - 1 : -1]


@visible_mistake
@torch.no_grad()
def reward_on_every_token(values, rewards, prefix_len):
    """You add the reward at every token; it comes after the last one only."""
    return values[:, prefix_len:] + rewards[:, None] - values[:, prefix_len - 1 : -1]


@visible_mistake
@torch.no_grad()
def whole_return(values, rewards, prefix_len):
    """You use the reward as Q of every token.

    One-step Q is the value of the next state, and the reward only for the last token.
    """
    return rewards[:, None] - values[:, prefix_len - 1 : -1]


@visible_mistake(refused_with="has the wrong sign")
@torch.no_grad()
def sign(values, rewards, prefix_len):
    """The sign is wrong: an advantage is Q - V, you computed V - Q."""
    return values[:, prefix_len - 1 : -1] - _q(values, rewards, prefix_len)


@visible_mistake(refused_with="The advantages carry a gradient to the values or rewards")
def carries_a_gradient(values, rewards, prefix_len):
    """The result carries a gradient to the values; advantages are targets: use `torch.no_grad()` or detach them."""
    return torch.cat([values[:, prefix_len:-1], rewards[:, None]], dim=1) - values[:, prefix_len - 1 : -1]


@visible_mistake(refused_with="`values` was changed in place")
@torch.no_grad()
def in_place(values, rewards, prefix_len):
    """You wrote the rewards into `values`: a slice shares memory, so the caller's tensor changed. Make a new one."""
    q = values.detach()[:, prefix_len:]
    q[:, -1] = rewards
    return q - values[:, prefix_len - 1 : -1]


@visible_mistake
@torch.no_grad()
def reward_on_top_of_the_last_value(values, rewards, prefix_len):
    """You add the last state's value to the reward; the episode is over then, so Q of the last token is the reward."""
    q = torch.cat([values[:, prefix_len:-1], rewards[:, None] + values[:, -1:]], dim=1)
    return q - values[:, prefix_len - 1 : -1]


@visible_mistake(refused_with="The advantage has another size than it should have along")
@torch.no_grad()
def prefix_kept(values, rewards, prefix_len):
    """You return advantages for the prefix too; its tokens were given, not chosen."""
    return torch.cat([values[:, 1:-1], rewards[:, None]], dim=1) - values[:, :-1]


@visible_mistake
@torch.no_grad()
def value_of_the_next_state(values, rewards, prefix_len):
    """V is one position late: the token at position i was chosen in the state that ends at i - 1."""
    return _q(values, rewards, prefix_len) - values[:, prefix_len:]


@visible_mistake
@torch.no_grad()
def both_one_late(values, rewards, prefix_len):
    """V and Q are both one position late: the first V is at prefix_len - 1, the first Q at prefix_len."""
    return torch.cat([values[:, prefix_len + 1 :], rewards[:, None]], dim=1) - values[:, prefix_len:]


@visible_mistake
@torch.no_grad()
def q_one_late(values, rewards, prefix_len):
    """Q is one position late: the token at position i leads to the state that ends at i, not at i + 1."""
    return torch.cat([values[:, prefix_len + 1 :], rewards[:, None]], dim=1) - values[:, prefix_len - 1 : -1]


@visible_mistake
@torch.no_grad()
def both_one_early(values, rewards, prefix_len):
    """V and Q are both one position early: the first V is at prefix_len - 1, the first Q at prefix_len."""
    q = torch.cat([values[:, prefix_len - 1 : -2], rewards[:, None]], dim=1)
    return q - values[:, prefix_len - 2 : -2]


@visible_mistake
@torch.no_grad()
def q_one_early(values, rewards, prefix_len):
    """Q is one position early: it begins with the state that the first token leads to, at position prefix_len."""
    return torch.cat([values[:, prefix_len - 1 : -2], rewards[:, None]], dim=1) - values[:, prefix_len - 1 : -1]


@visible_mistake(refused_with="The advantage has another size than it should have along")
@torch.no_grad()
def one_token_short(values, rewards, prefix_len):
    """The first generated token is missing: it was chosen in the state at prefix_len - 1."""
    return torch.cat([values[:, prefix_len + 1 : -1], rewards[:, None]], dim=1) - values[:, prefix_len:-1]


@visible_mistake
@torch.no_grad()
def no_baseline(values, rewards, prefix_len):
    """That is Q; an advantage is Q minus V of the state."""
    return _q(values, rewards, prefix_len)


@visible_mistake
@torch.no_grad()
def mean_baseline(values, rewards, prefix_len):
    """You subtract the mean value of the text; the baseline of each token is the value of its own state."""
    return _q(values, rewards, prefix_len) - values[:, prefix_len - 1 : -1].mean(-1, keepdim=True)


@visible_mistake
@torch.no_grad()
def discounted(values, rewards, prefix_len):
    """You discount the next value; there is no discounting here, as all episodes have the same length."""
    q = torch.cat([0.99 * values[:, prefix_len:-1], rewards[:, None]], dim=1)
    return q - values[:, prefix_len - 1 : -1]


def _advantages(values, rewards, prefix_len):
    q = torch.cat([values[:, prefix_len:-1], rewards[:, None]], dim=1)
    return (q - values[:, prefix_len - 1 : -1]).detach()


@hidden_mistake
def one_reward_for_all(values, rewards, prefix_len):
    """Every text gets the batch's mean reward."""
    return _advantages(values, rewards.mean().expand(values.shape[0]), prefix_len)


@hidden_mistake(refused_with="The advantage for a prefix of one token has another size")
def prefix_of_two_at_least(values, rewards, prefix_len):
    """A prefix of one token is treated as one of two."""
    return _advantages(values, rewards, max(prefix_len, 2))


@hidden_mistake(refused_with="should have 2 dimensions; 1 came")
def last_dimension_squeezed(values, rewards, prefix_len):
    """A single generated token loses its dimension."""
    return _advantages(values, rewards, prefix_len).squeeze(-1)


@hidden_mistake(refused_with="should have 2 dimensions; 1 came")
def first_dimension_squeezed(values, rewards, prefix_len):
    """A single text loses its dimension."""
    return _advantages(values, rewards, prefix_len).squeeze(0)


@hidden_mistake
def rewards_in_reverse(values, rewards, prefix_len):
    """The texts get the rewards in reverse order."""
    return _advantages(values, rewards.flip(0), prefix_len)


@hidden_mistake
def normalised(values, rewards, prefix_len):
    """The advantages are normalised, which the objective does by itself."""
    advantages = _advantages(values, rewards, prefix_len)
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


@hidden_mistake
def clipped(values, rewards, prefix_len):
    """The advantages are clipped to the range from -1 to 1."""
    return _advantages(values, rewards, prefix_len).clip(-1, 1)


@hidden_mistake(refused_with="should have the dtype float64; float32 came")
@torch.no_grad()
def float32_always(values, rewards, prefix_len):
    """The result is float32, whatever the dtype of the values."""
    return _advantages(values, rewards, prefix_len).float()


@hidden_mistake(refused_with="changed whether `values` requires a gradient")
def values_detached_in_place(values, rewards, prefix_len):
    """The values lose their graph, in the caller's tensor."""
    if values._is_view():
        values = values.detach()
    values.detach_()
    return _advantages(values, rewards, prefix_len)


@hidden_mistake(refused_with="changed whether `values` requires a gradient")
def gradients_switched_off(values, rewards, prefix_len):
    """The values do not require a gradient any more, in the caller's tensor."""
    if values.is_leaf:
        values.requires_grad_(False)
    return _advantages(values, rewards, prefix_len)


@hidden_mistake
def rewards_clipped(values, rewards, prefix_len):
    """Rewards above 5 count as 5."""
    return _advantages(values, rewards.clamp(max=5.0), prefix_len)


@hidden_mistake(refused_with="The advantage for normalised rewards")
def small_advantages_dropped(values, rewards, prefix_len):
    """An advantage below 0.01 counts as zero."""
    advantages = _advantages(values, rewards, prefix_len)
    return advantages.masked_fill(advantages.abs() < 0.01, 0.0)


@visible_mistake(refused_with="RuntimeError")
def flat_view(values, rewards, prefix_len):
    """The values are viewed as a vector, which slices of a larger tensor do not allow: use reshape."""
    return _advantages(values.view(-1).reshape(values.shape), rewards, prefix_len)


@hidden_mistake(refused_with="The advantage for one text")
def one_text_without_values(values, rewards, prefix_len):
    """A single text is treated as if all of its values were zero."""
    return _advantages(values * (values.shape[0] > 1), rewards, prefix_len)


@hidden_mistake(refused_with="The advantage for one generated token")
def one_token_without_value(values, rewards, prefix_len):
    """The only generated token gets the reward, without the value of the state before."""
    advantages = _advantages(values, rewards, prefix_len)
    return rewards.detach()[:, None].clone() if advantages.shape[1] == 1 else advantages


@hidden_mistake(refused_with="`rewards` was changed in place")
def rewards_overwritten_at_the_end(values, rewards, prefix_len):
    """The advantages are right, but the caller's rewards are zero afterwards."""
    advantages = _advantages(values, rewards, prefix_len)
    rewards.detach().zero_()
    return advantages


@hidden_mistake(refused_with="should be a tensor; a list came")
def list_of_rows(values, rewards, prefix_len):
    """The result is a list of lists."""
    return _advantages(values, rewards, prefix_len).tolist()


_ADVANTAGES_OF_SHAPE = {}


@hidden_mistake(refused_with="after a call with other values of the same sizes")
def stored_by_shape(values, rewards, prefix_len):
    """The advantages of the first minibatch of a shape are returned for each later one."""
    key = (*values.shape, prefix_len)
    if key not in _ADVANTAGES_OF_SHAPE:
        _ADVANTAGES_OF_SHAPE[key] = _advantages(values, rewards, prefix_len)
    return _ADVANTAGES_OF_SHAPE[key].to(values.dtype, copy=True)


@hidden_mistake(
    refused_with="The advantage for texts of equal values and different rewards is wrong only in the last entry"
)
def no_reward_means_the_value(values, rewards, prefix_len):
    """A reward of zero is taken for a missing one, and the last state's value takes its place."""
    return _advantages(values, torch.where(rewards == 0, values[:, -1], rewards), prefix_len)


@hidden_mistake(refused_with="The advantage for texts of equal values and different rewards")
def equal_values_share_a_reward(values, rewards, prefix_len):
    """Texts of equal values are taken for the same text, and all of them get the last one's reward."""
    last = {tuple(row): index for index, row in enumerate(values.tolist())}
    return _advantages(values, rewards[[last[tuple(row)] for row in values.tolist()]], prefix_len)


@hidden_mistake(refused_with="is right, but rounded to half precision")
def half_precision(values, rewards, prefix_len):
    """The advantages are rounded to bfloat16."""
    return _advantages(values, rewards, prefix_len).bfloat16().to(values.dtype)


@hidden_mistake
def cut_at_32_tokens(values, rewards, prefix_len):
    """Generated tokens after the 32nd have no advantage."""
    advantages = _advantages(values, rewards, prefix_len)
    return advantages * (torch.arange(advantages.shape[1]) < 32)


@hidden_mistake
def negative_rewards_as_zero(values, rewards, prefix_len):
    """A negative reward counts as zero."""
    return _advantages(values, rewards.relu(), prefix_len)


@hidden_mistake(refused_with="The advantage for a long prefix")
def prefix_of_ten_at_most(values, rewards, prefix_len):
    """After a prefix of more than ten tokens, the values of the states before are those of the first ones."""
    first = min(prefix_len, 10)
    gen_len = values.shape[1] - prefix_len
    return (_q(values, rewards, prefix_len) - values[:, first - 1 : first - 1 + gen_len]).detach()


@hidden_mistake(refused_with="RuntimeError")
def detached_in_place(values, rewards, prefix_len):
    """The values are detached in place, which PyTorch does not allow for a slice."""
    return _advantages(values.detach_(), rewards, prefix_len)


@hidden_mistake(refused_with="The advantage for values of the size of the rewards")
def values_clipped_at_ten(values, rewards, prefix_len):
    """Values beyond 10 and -10 are clipped."""
    return _advantages(values.clamp(-10, 10), rewards, prefix_len)


@hidden_mistake
def sixteen_texts_only(values, rewards, prefix_len):
    """Texts after the sixteenth have no advantage."""
    advantages = _advantages(values, rewards, prefix_len)
    return advantages * (torch.arange(advantages.shape[0]) < 16)[:, None]


@hidden_mistake(refused_with="The advantages carry a gradient")
def rewards_not_detached(values, rewards, prefix_len):
    """The values are detached, the rewards are not."""
    values = values.detach()
    return torch.cat([values[:, prefix_len:-1], rewards[:, None]], dim=1) - values[:, prefix_len - 1 : -1]


@hidden_mistake
def three_decimals(values, rewards, prefix_len):
    """The advantages are rounded to three decimals."""
    return _advantages(values, rewards, prefix_len).round(decimals=3)


@hidden_mistake
def sum_with_the_call_before(values, rewards, prefix_len, calls=[]):  # noqa: B006
    """A call with the sizes of the call before returns the sum of both results."""
    advantages = _advantages(values, rewards, prefix_len)
    calls.append(advantages)
    return advantages if len(calls) < 2 or calls[-2].shape != advantages.shape else calls[-2] + advantages


@hidden_mistake(refused_with="The advantage for equal texts")
def equal_rewards_are_none(values, rewards, prefix_len):
    """Rewards that are all equal count as zero."""
    return _advantages(values, rewards * (len(rewards) == 1 or bool((rewards != rewards[0]).any())), prefix_len)


_WORKSPACES = {}


@hidden_mistake(refused_with="The advantage after a later call is not right")
@torch.no_grad()
def shared_workspace(values, rewards, prefix_len):
    """The result is a tensor that the next call with as many texts and tokens overwrites."""
    shape, dtype = (values.shape[0], values.shape[1] - prefix_len), values.dtype
    workspace = _WORKSPACES.setdefault((shape, dtype), torch.empty(shape, dtype=dtype))
    return workspace.copy_(_q(values, rewards, prefix_len) - values[:, prefix_len - 1 : -1])


@hidden_mistake(refused_with="to which other numbers were written")
@lru_cache(8)
@torch.no_grad()
def kept_by_identity(values, rewards, prefix_len):
    """The result is kept for each tensor, whatever its numbers become."""
    return _q(values, rewards, prefix_len) - values[:, prefix_len - 1 : -1]


@right_answer
@torch.no_grad()
def clone_and_assign(values, rewards, prefix_len):
    q = values[:, prefix_len:].clone()
    q[:, -1] = rewards
    return q - values[:, prefix_len - 1 : -1]


@right_answer
def detached(values, rewards, prefix_len):
    gen_len = values.shape[1] - prefix_len
    q = torch.concat((values[:, -gen_len:-1], rewards.unsqueeze(-1)), dim=-1)
    return (q - values[:, -gen_len - 1 : -1]).detach()


@right_answer
@torch.no_grad()
def loops(values, rewards, prefix_len):
    batch, seq = values.shape
    result = torch.zeros(batch, seq - prefix_len, dtype=values.dtype)
    for row in range(batch):
        for position in range(prefix_len, seq):
            q = rewards[row] if position == seq - 1 else values[row, position]
            result[row, position - prefix_len] = q - values[row, position - 1]
    return result


@right_answer
@torch.inference_mode()
def padded(values, rewards, prefix_len):
    following = pad(values[:, 1:-1], (0, 1))
    following = following + pad(rewards[:, None], (values.shape[1] - 2, 0))
    return (following - values[:, :-1])[:, prefix_len - 1 :]


@right_answer
@torch.no_grad()
def difference_then_correction(values, rewards, prefix_len):
    result = values.diff(dim=1)[:, prefix_len - 1 :]
    result[:, -1] += rewards - values[:, -1]
    return result


@right_answer
@torch.no_grad()
def where(values, rewards, prefix_len):
    is_last = torch.arange(values.shape[1]) == values.shape[1] - 1
    q = torch.where(is_last, rewards[:, None], values)
    return q[:, prefix_len:] - values[:, prefix_len - 1 : -1]


@right_answer
def in_a_closure(values, rewards, prefix_len):
    @torch.no_grad()
    def difference(first):
        print("advantages from", first)
        following = torch.cat([values, rewards.reshape(-1, 1)], dim=1)
        following = torch.cat([following[:, :-2], following[:, -1:]], dim=1)
        return following[:, first:] - values[:, first - 1 : -1]

    return difference(prefix_len)


@right_answer
def numbers(values, rewards, prefix_len):
    rows = [[*row[prefix_len:-1], reward] for row, reward in zip(values.tolist(), rewards.tolist(), strict=True)]
    return values.new_tensor(rows) - values.detach()[:, prefix_len - 1 : -1]
