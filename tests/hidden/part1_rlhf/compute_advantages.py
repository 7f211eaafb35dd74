"""Wrong and right answers to `compute_advantages`."""

import torch
from torch.nn.functional import pad

from rlhf_course.building.bank import hidden_mistake, right_answer, visible_mistake


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


@visible_mistake(refused_with="The advantages carry a gradient to the values")
def carries_a_gradient(values, rewards, prefix_len):
    """The result carries a gradient to the values; advantages are targets: use `torch.no_grad()` or detach them."""
    return torch.cat([values[:, prefix_len:-1], rewards[:, None]], dim=1) - values[:, prefix_len - 1 : -1]


@visible_mistake(refused_with="The values that were passed in were changed")
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


@visible_mistake(refused_with="The advantage of two short texts has another size than wanted along")
@torch.no_grad()
def prefix_kept(values, rewards, prefix_len):
    """You return advantages for the prefix too; its tokens were given, not chosen."""
    return torch.cat([values[:, 1:-1], rewards[:, None]], dim=1) - values[:, :-1]


@visible_mistake
@torch.no_grad()
def value_of_the_next_state(values, rewards, prefix_len):
    """V is one position late: the token at position i was chosen in the state that ends at i - 1."""
    return _q(values, rewards, prefix_len) - values[:, prefix_len:]


@visible_mistake(refused_with="The advantage of two short texts has another size than wanted along")
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


@hidden_mistake(refused_with="The advantage after a prefix of one token has another size than wanted")
def prefix_of_two_at_least(values, rewards, prefix_len):
    """A prefix of one token is treated as one of two."""
    return _advantages(values, rewards, max(prefix_len, 2))


@hidden_mistake(refused_with="The advantage of the only generated token should have 2 dimensions; 1 came")
def last_dimension_squeezed(values, rewards, prefix_len):
    """A single generated token loses its dimension."""
    return _advantages(values, rewards, prefix_len).squeeze(-1)


@hidden_mistake(refused_with="The advantage of one text should have 2 dimensions; 1 came")
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
    result = torch.zeros(batch, seq - prefix_len)
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
