"""Known mistakes of `compute_advantages`."""

import torch


def _q(values, rewards, prefix_len):
    return torch.cat([values[:, prefix_len:-1], rewards[:, None]], dim=1).detach()


@torch.no_grad()
def reward_unused(values, rewards, prefix_len):
    """The reward is nowhere: Q of the last token is the reward, not the value of the state after it."""
    return values[:, prefix_len:] - values[:, prefix_len - 1 : -1]


@torch.no_grad()
def reward_on_every_token(values, rewards, prefix_len):
    """You add the reward at every token; it comes after the last one only."""
    return values[:, prefix_len:] + rewards[:, None] - values[:, prefix_len - 1 : -1]


@torch.no_grad()
def whole_return(values, rewards, prefix_len):
    """You use the reward as Q of every token; one-step Q is the value of the next state, and the reward for the last token alone."""
    return rewards[:, None] - values[:, prefix_len - 1 : -1]


@torch.no_grad()
def sign(values, rewards, prefix_len):
    """The sign is turned: an advantage is Q - V, you computed V - Q."""
    return values[:, prefix_len - 1 : -1] - _q(values, rewards, prefix_len)


def carries_a_gradient(values, rewards, prefix_len):
    """The result carries a gradient to the values; advantages are targets: use `torch.no_grad()` or detach them."""
    return torch.cat([values[:, prefix_len:-1], rewards[:, None]], dim=1) - values[:, prefix_len - 1 : -1]


@torch.no_grad()
def in_place(values, rewards, prefix_len):
    """You wrote the rewards into `values`: a slice shares its memory, so the caller's tensor changed. Make a new one."""
    q = values.detach()[:, prefix_len:]
    q[:, -1] = rewards
    return q - values[:, prefix_len - 1 : -1]


@torch.no_grad()
def reward_on_top_of_the_last_value(values, rewards, prefix_len):
    """You add the last state's value to the reward; the episode is over there, so Q of the last token is the reward alone."""
    q = torch.cat([values[:, prefix_len:-1], rewards[:, None] + values[:, -1:]], dim=1)
    return q - values[:, prefix_len - 1 : -1]


@torch.no_grad()
def prefix_kept(values, rewards, prefix_len):
    """You return advantages for the prefix too; its tokens were given, not chosen."""
    return torch.cat([values[:, 1:-1], rewards[:, None]], dim=1) - values[:, :-1]


@torch.no_grad()
def value_of_the_next_state(values, rewards, prefix_len):
    """V is one position late: the token at position i was chosen in the state that ends at i - 1."""
    return _q(values, rewards, prefix_len) - values[:, prefix_len:]


@torch.no_grad()
def one_token_short(values, rewards, prefix_len):
    """The first generated token is missing: it was chosen in the state at prefix_len - 1."""
    return torch.cat([values[:, prefix_len + 1 : -1], rewards[:, None]], dim=1) - values[:, prefix_len:-1]


@torch.no_grad()
def no_baseline(values, rewards, prefix_len):
    """That is Q alone; an advantage takes V of the state away from it."""
    return _q(values, rewards, prefix_len)


@torch.no_grad()
def mean_baseline(values, rewards, prefix_len):
    """You take the mean value of the text away; each token has the value of its own state as baseline."""
    return _q(values, rewards, prefix_len) - values[:, prefix_len - 1 : -1].mean(-1, keepdim=True)


@torch.no_grad()
def discounted(values, rewards, prefix_len):
    """You discount the next value; there is no discounting here, as all episodes have the same length."""
    q = torch.cat([0.99 * values[:, prefix_len:-1], rewards[:, None]], dim=1)
    return q - values[:, prefix_len - 1 : -1]
