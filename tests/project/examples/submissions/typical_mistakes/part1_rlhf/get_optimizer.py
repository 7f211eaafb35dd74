"""One optimizer for the transformer and its value head, each with its own learning rate."""

import torch


def get_optimizer(model, base_lr, head_lr):
    return torch.optim.AdamW(
        [
            {"params": model.get_base_model_trainable_params(), "lr": base_lr},
            {"params": model.get_value_head_params(), "lr": head_lr},
        ]
    )
