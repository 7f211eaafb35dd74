"""Known mistakes of `get_optimizer`."""

from torch.optim import SGD, Adam, AdamW


def _groups(model, base_lr, head_lr):
    return [
        {"params": model.get_base_model_trainable_params(), "lr": base_lr},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]


def minimizes(model, base_lr, head_lr):
    """The optimizer goes down: the objective is to be maximised, so `maximize=True` is needed."""
    return AdamW(_groups(model, base_lr, head_lr))


def rates_swapped(model, base_lr, head_lr):
    """The two learning rates are swapped: the transformer gets base_lr, the head gets head_lr."""
    return AdamW(_groups(model, head_lr, base_lr), maximize=True)


def one_rate(model, base_lr, head_lr):
    """Both parts have base_lr: give the head's group an 'lr' of its own."""
    return AdamW(_groups(model, base_lr, base_lr), maximize=True)


def one_group(model, base_lr, head_lr):
    """All parameters are in one group; the head needs a group of its own, with its own rate."""
    return AdamW(model.get_base_model_trainable_params() + model.get_value_head_params(), lr=base_lr, maximize=True)


def no_head(model, base_lr, head_lr):
    """The value head is missing, so it would never learn: add a group with its parameters."""
    return AdamW(_groups(model, base_lr, head_lr)[:1], maximize=True)


def no_transformer(model, base_lr, head_lr):
    """The transformer is missing, so the policy would never learn: add a group with its parameters."""
    return AdamW(_groups(model, base_lr, head_lr)[1:], maximize=True)


def default_rates(model, base_lr, head_lr):
    """The groups have AdamW's own learning rate, 0.001: each needs an 'lr'."""
    groups = [{"params": group["params"]} for group in _groups(model, base_lr, head_lr)]
    return AdamW(groups, maximize=True)


def adam(model, base_lr, head_lr):
    """That is Adam; AdamW is asked for, which keeps weight decay out of the gradient."""
    return Adam(_groups(model, base_lr, head_lr), maximize=True)


def sgd(model, base_lr, head_lr):
    """That is plain gradient ascent (SGD); AdamW is asked for."""
    return SGD(_groups(model, base_lr, head_lr), maximize=True)


def head_minimizes(model, base_lr, head_lr):
    """Only one group maximises: pass `maximize=True` to AdamW itself, so that it holds for both."""
    groups = _groups(model, base_lr, head_lr)
    groups[0]["maximize"] = True
    return AdamW(groups)


def copies(model, base_lr, head_lr):
    """These are copies of the parameters; the optimizer has to hold the model's own tensors, or the model never changes."""
    groups = _groups(model, base_lr, head_lr)
    for group in groups:
        group["params"] = [parameter.detach().clone().requires_grad_(True) for parameter in group["params"]]
    return AdamW(groups, maximize=True)


def twice(model, base_lr, head_lr):
    """`model.parameters()` holds the head too, and a parameter may be in one group only: list the transformer's by get_base_model_trainable_params()."""
    groups = [
        {"params": list(model.parameters()), "lr": base_lr},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]
    return AdamW(groups, maximize=True)


def strong_decay(model, base_lr, head_lr):
    """The weight decay is another than AdamW's own: leave it out, or set it to 0."""
    return AdamW(_groups(model, base_lr, head_lr), maximize=True, weight_decay=0.1)


def plain_groups(model, base_lr, head_lr):
    """You return the list of groups; the optimizer is made from it by torch.optim.AdamW."""
    return _groups(model, base_lr, head_lr)
