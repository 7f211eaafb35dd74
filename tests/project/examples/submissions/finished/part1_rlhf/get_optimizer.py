"""One optimizer for the transformer and its value head, each with its own learning rate."""

from torch.optim import AdamW


def get_optimizer(model, base_lr, head_lr):
    base = dict(params=model.get_base_model_trainable_params(), lr=base_lr)
    head = dict(params=model.get_value_head_params(), lr=head_lr)
    return AdamW([base, head], maximize=True)
