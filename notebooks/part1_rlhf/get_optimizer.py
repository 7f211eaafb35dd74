"""One optimizer for the transformer and its value head, each with its own learning rate."""

from typing import Any

import torch
from torch.optim import Optimizer


def get_optimizer(model: Any, base_lr: float, head_lr: float) -> Optimizer:
    """AdamW that ascends, with the transformer's parameters in one group and the value head's in another.

    AdamW's default weight decay and none are both right. Without decay, Adam takes the same steps as AdamW, so that it
    is right, too. With decay it is not: Adam adds the decay to the gradient.

    Args:
        model: a model with a value head; `get_base_model_trainable_params()` and `get_value_head_params()` list
            its parameters.
        base_lr: learning rate of the transformer, which is pretrained.
        head_lr: learning rate of the value head, which starts from nothing.

    Returns: the optimizer; every trainable parameter is in exactly one group, and `maximize` is on.

    Source: Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2.
    """
    raise NotImplementedError("write this part")
