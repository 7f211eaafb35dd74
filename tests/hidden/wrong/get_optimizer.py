"""Wrong answers to `get_optimizer`."""

from torch.optim import Adam, AdamW, NAdam


def _groups(model, base_lr, head_lr):
    return [
        {"params": model.get_base_model_trainable_params(), "lr": base_lr},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]


def other_betas(model, base_lr, head_lr):
    """The betas are others than AdamW's own."""
    return AdamW(_groups(model, base_lr, head_lr), maximize=True, betas=(0.9, 0.95))


def decay_in_the_gradient(model, base_lr, head_lr):
    """That is Adam with its weight decay in the gradient."""
    return Adam(_groups(model, base_lr, head_lr), maximize=True, weight_decay=0.01)


def group_for_each_tensor(model, base_lr, head_lr):
    """Each tensor has a group of its own."""
    groups = _groups(model, base_lr, head_lr)
    return AdamW([{"params": [one], "lr": group["lr"]} for group in groups for one in group["params"]], maximize=True)


def held_twice(model, base_lr, head_lr):
    """The head's parameters are twice in their group, and take every step twice."""
    groups = _groups(model, base_lr, head_lr)
    groups[1]["params"] = groups[1]["params"] * 2
    return AdamW(groups, maximize=True)


def biases_left_out(model, base_lr, head_lr):
    """Biases are in no group."""
    groups = _groups(model, base_lr, head_lr)
    for group in groups:
        group["params"] = [one for one in group["params"] if one.dim() > 1]
    return AdamW(groups, maximize=True)


def nadam(model, base_lr, head_lr):
    """That is NAdam."""
    return NAdam(_groups(model, base_lr, head_lr), maximize=True)
