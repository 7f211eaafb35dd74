"""Wrong and right answers to `get_optimizer`."""

import torch
from torch.optim import SGD, Adam, AdamW, NAdam

from rlhf_course.building.bank import hidden_mistake, right_answer, visible_mistake


def _groups(model, base_lr, head_lr):
    return [
        {"params": model.get_base_model_trainable_params(), "lr": base_lr},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]


@visible_mistake(refused_with="has the wrong sign")
def minimizes(model, base_lr, head_lr):
    """The optimizer minimises: the objective is maximised, so `maximize=True` is needed."""
    return AdamW(_groups(model, base_lr, head_lr))


@visible_mistake
def rates_swapped(model, base_lr, head_lr):
    """The two learning rates are swapped: the transformer gets base_lr, the head gets head_lr."""
    return AdamW(_groups(model, head_lr, base_lr), maximize=True)


@visible_mistake
def one_rate(model, base_lr, head_lr):
    """Both parts have base_lr: give the head's group an 'lr' of its own."""
    return AdamW(_groups(model, base_lr, base_lr), maximize=True)


@visible_mistake
def one_group(model, base_lr, head_lr):
    """All parameters are in one group; the head needs a group of its own, with its own rate."""
    return AdamW(model.get_base_model_trainable_params() + model.get_value_head_params(), lr=base_lr, maximize=True)


@visible_mistake
def no_head(model, base_lr, head_lr):
    """The value head is missing, so it would never learn: add a group with its parameters."""
    return AdamW(_groups(model, base_lr, head_lr)[:1], maximize=True)


@visible_mistake
def no_transformer(model, base_lr, head_lr):
    """The transformer is missing, so the policy would never learn: add a group with its parameters."""
    return AdamW(_groups(model, base_lr, head_lr)[1:], maximize=True)


@visible_mistake
def default_rates(model, base_lr, head_lr):
    """The groups have AdamW's default learning rate, 0.001: each needs an 'lr'."""
    groups = [{"params": group["params"]} for group in _groups(model, base_lr, head_lr)]
    return AdamW(groups, maximize=True)


@visible_mistake(refused_with="The optimizer should be AdamW; it is Adam")
def adam(model, base_lr, head_lr):
    """That is Adam; use AdamW, which keeps weight decay out of the gradient."""
    return Adam(_groups(model, base_lr, head_lr), maximize=True)


@visible_mistake(refused_with="The optimizer should be AdamW; it is SGD")
def sgd(model, base_lr, head_lr):
    """That is plain gradient ascent (SGD); use AdamW."""
    return SGD(_groups(model, base_lr, head_lr), maximize=True)


@visible_mistake(refused_with="has the wrong sign")
def head_minimizes(model, base_lr, head_lr):
    """Only one group maximises: pass `maximize=True` to AdamW itself, so that it holds for both."""
    groups = _groups(model, base_lr, head_lr)
    groups[0]["maximize"] = True
    return AdamW(groups)


@visible_mistake
def copies(model, base_lr, head_lr):
    """These are copies of the parameters; pass the model's own tensors, or the model never changes."""
    groups = _groups(model, base_lr, head_lr)
    for group in groups:
        group["params"] = [parameter.detach().clone().requires_grad_(True) for parameter in group["params"]]
    return AdamW(groups, maximize=True)


@visible_mistake(refused_with="ValueError")
def twice(model, base_lr, head_lr):
    """`model.parameters()` holds the head too, and a parameter may be in one group only.

    Use get_base_model_trainable_params() for the transformer.
    """
    groups = [
        {"params": list(model.parameters()), "lr": base_lr},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]
    return AdamW(groups, maximize=True)


@visible_mistake(refused_with="leave the weight decay at AdamW's default, or set it to zero")
def strong_decay(model, base_lr, head_lr):
    """The weight decay is not AdamW's default: leave it out, or set it to 0."""
    return AdamW(_groups(model, base_lr, head_lr), maximize=True, weight_decay=0.1)


@visible_mistake(refused_with="get_optimizer should return an optimizer of torch.optim; a list came")
def plain_groups(model, base_lr, head_lr):
    """You return the list of groups; pass it to torch.optim.AdamW, and return the optimizer."""
    return _groups(model, base_lr, head_lr)


@hidden_mistake(refused_with="leave AdamW's moments as they are by default, and its rates to the schedule")
def other_betas(model, base_lr, head_lr):
    """The betas are not AdamW's defaults."""
    return AdamW(_groups(model, base_lr, head_lr), maximize=True, betas=(0.9, 0.95))


@hidden_mistake(refused_with="The optimizer should be AdamW; it is Adam")
def decay_in_the_gradient(model, base_lr, head_lr):
    """That is Adam with its weight decay in the gradient."""
    return Adam(_groups(model, base_lr, head_lr), maximize=True, weight_decay=0.01)


@hidden_mistake(refused_with="The parameters of the transformer should be in one group; they are spread")
def group_for_each_tensor(model, base_lr, head_lr):
    """Each tensor has a group of its own."""
    groups = _groups(model, base_lr, head_lr)
    return AdamW(
        [{"params": [parameter], "lr": group["lr"]} for group in groups for parameter in group["params"]], maximize=True
    )


@hidden_mistake
def held_twice(model, base_lr, head_lr):
    """The head's parameters are twice in their group, and take every step twice."""
    groups = _groups(model, base_lr, head_lr)
    groups[1]["params"] = groups[1]["params"] * 2
    return AdamW(groups, maximize=True)


@hidden_mistake
def biases_left_out(model, base_lr, head_lr):
    """Biases are in no group."""
    groups = _groups(model, base_lr, head_lr)
    for group in groups:
        group["params"] = [parameter for parameter in group["params"] if parameter.dim() > 1]
    return AdamW(groups, maximize=True)


@hidden_mistake
def nadam(model, base_lr, head_lr):
    """That is NAdam."""
    return NAdam(_groups(model, base_lr, head_lr), maximize=True)


@right_answer
def no_weight_decay(model, base_lr, head_lr):
    groups = [
        {"params": model.get_base_model_trainable_params(), "lr": base_lr},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]
    return torch.optim.AdamW(groups, maximize=True, weight_decay=0.0)


@right_answer
def head_first(model, base_lr, head_lr):
    groups = [
        {"params": model.get_value_head_params(), "lr": head_lr},
        {"params": model.get_base_model_trainable_params(), "lr": base_lr},
    ]
    return torch.optim.AdamW(groups, maximize=True)


@right_answer
def default_rate_is_the_transformers(model, base_lr, head_lr):
    groups = [
        {"params": model.get_base_model_trainable_params()},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]
    return torch.optim.AdamW(groups, lr=base_lr, maximize=True)


@right_answer
def group_added(model, base_lr, head_lr):
    optimizer = torch.optim.AdamW(model.get_base_model_trainable_params(), lr=base_lr, maximize=True)
    optimizer.add_param_group({"params": model.get_value_head_params(), "lr": head_lr})
    return optimizer


@right_answer
def maximize_in_both_groups(model, base_lr, head_lr):
    groups = [
        {"params": iter(model.get_base_model_trainable_params()), "lr": base_lr, "maximize": True},
        {"params": model.value_head.parameters(), "lr": head_lr, "maximize": True},
    ]
    return torch.optim.AdamW(groups)


@right_answer
def one_kernel_at_a_time(model, base_lr, head_lr):
    base, head = model.get_base_model_trainable_params(), model.get_value_head_params()
    return torch.optim.AdamW(
        [{"params": base, "lr": base_lr}, {"params": head, "lr": head_lr}], maximize=True, foreach=False
    )
