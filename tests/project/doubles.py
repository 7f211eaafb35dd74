"""Stand-ins for what a test does not need whole."""

import torch


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers in float64, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TwoPartModel:
    """As much of a model as an optimizer needs."""

    def __init__(self) -> None:
        self.base, self.head = torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)

    def get_base_model_trainable_params(self) -> list[torch.nn.Parameter]:
        return list(self.base.parameters())

    def get_value_head_params(self) -> list[torch.nn.Parameter]:
        return list(self.head.parameters())
