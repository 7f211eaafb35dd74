"""One-step advantages of the generated tokens."""

import torch


def compute_advantages(values, rewards, prefix_len):
    with torch.no_grad():
        v_now = values[:, prefix_len - 1 : -1]
        # the next state's value, and at the very end what was really earned
        v_next = torch.empty_like(v_now)
        v_next[:, :-1] = v_now[:, 1:]
        v_next[:, -1] = rewards
        return v_next - v_now
