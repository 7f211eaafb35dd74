"""Right answers to `get_optimizer`, in other words than the reference's."""

import torch


def no_weight_decay(model, base_lr, head_lr):
    groups = [
        dict(params=model.get_base_model_trainable_params(), lr=base_lr),
        dict(params=model.get_value_head_params(), lr=head_lr),
    ]
    return torch.optim.AdamW(groups, maximize=True, weight_decay=0.0)


def head_first(model, base_lr, head_lr):
    groups = [
        {"params": model.get_value_head_params(), "lr": head_lr},
        {"params": model.get_base_model_trainable_params(), "lr": base_lr},
    ]
    return torch.optim.AdamW(groups, maximize=True)


def default_rate_is_the_transformers(model, base_lr, head_lr):
    groups = [
        {"params": model.get_base_model_trainable_params()},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]
    return torch.optim.AdamW(groups, lr=base_lr, maximize=True)


def group_added(model, base_lr, head_lr):
    optimizer = torch.optim.AdamW(model.get_base_model_trainable_params(), lr=base_lr, maximize=True)
    optimizer.add_param_group({"params": model.get_value_head_params(), "lr": head_lr})
    return optimizer


def maximize_in_both_groups(model, base_lr, head_lr):
    groups = [
        {"params": iter(model.get_base_model_trainable_params()), "lr": base_lr, "maximize": True},
        {"params": model.value_head.parameters(), "lr": head_lr, "maximize": True},
    ]
    return torch.optim.AdamW(groups)


def one_kernel_at_a_time(model, base_lr, head_lr):
    base, head = model.get_base_model_trainable_params(), model.get_value_head_params()
    return torch.optim.AdamW(
        [{"params": base, "lr": base_lr}, {"params": head, "lr": head_lr}], maximize=True, foreach=False
    )
