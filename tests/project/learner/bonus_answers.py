"""Answers to the tasks of the bonus notebook, in words of their own and with mistakes."""

GAE = """
import torch


@torch.no_grad()
def gae(values, rewards, prefix_len, lam=0.95):
    q = torch.cat([values[:, prefix_len:-1], rewards[:, None]], 1)
    deltas = q - values[:, prefix_len - 1 : -1]
    advantages = torch.empty_like(deltas)
    following = torch.zeros_like(rewards)
    for t in reversed(range(deltas.shape[1])):
        following = deltas[:, t] + lam * following
        advantages[:, t] = following
    return advantages
"""
GRPO = """
def group_advantages(rewards, gen_len, eps=1e-5):
    normalised = (rewards - rewards.mean()) / (rewards.std() + eps)
    return normalised[:, None].expand(-1, gen_len)


def k3_estimate(logprobs, ref_logprobs):
    d = ref_logprobs - logprobs
    return d.exp() - d - 1
"""
WRONG = {
    "gae": [
        GAE.replace("lam * following", "following"),
        GAE.replace("reversed(range(deltas.shape[1]))", "range(deltas.shape[1])"),
        GAE.replace("values[:, prefix_len - 1 : -1]", "values[:, prefix_len:]"),
        GAE.replace("rewards[:, None]", "values[:, -1:]"),
        GAE.replace("    return", "    values += 1\n    return"),
    ],
    "group_advantages": [
        GRPO.replace("rewards - rewards.mean()", "rewards"),
        GRPO.replace(" / (rewards.std() + eps)", ""),
        GRPO.replace(" + eps", ""),
        GRPO.replace("[:, None].expand(-1, gen_len)", ""),
    ],
    "k3_estimate": [
        GRPO.replace("ref_logprobs - logprobs", "logprobs - ref_logprobs"),
        GRPO.replace(" - 1", ""),
        GRPO.replace("d.exp() - d - 1", "d**2 / 2"),
        GRPO.replace("d.exp() - d - 1", "(d.exp() - d - 1).detach()"),
    ],
}
