"""Define the types that the settings, the rewards and the trainer share."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command line reads the settings without loading torch
    from torch import Tensor

# A reward function takes texts and returns a float tensor with one reward for each.
RewardFn = Callable[[list[str]], "Tensor"]

# A row of metrics or a sample, by column.
Row = dict[str, Any]

# A phase callback is called after each phase with the phase's row of metrics and its samples.
PhaseCallback = Callable[[Row, list[Row]], None]
