"""What a model may do quicker on a GPU, asked for after its name: `gpt2-small+bf16+compile`.

Off unless asked for. bf16 costs exactness: PPO's ratio is no longer 1 to five decimals before the first step. Compiling costs
seconds before the first phase. Neither helps on a CPU, where both are refused.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rlhf_course.errors import CourseError

if TYPE_CHECKING:  # names are split where no model is loaded
    from transformer_lens.model_bridge import TransformerBridge


def split_name(name: str) -> tuple[str, list[str]]:
    """A model's name, and the words that follow it.

    Raises:
        CourseError: a word is not one of `OPTIONS`.
    """
    if "+" not in name or Path(name).expanduser().is_dir():  # a folder may have any name
        return name, []
    plain, *words = name.split("+")
    if unknown := [word for word in words if word not in OPTIONS]:
        raise CourseError(
            f"base_model {name!r}: what follows a + takes {' or '.join(OPTIONS)}, got {', '.join(map(repr, unknown))}"
        )
    return plain, words


def refuse_where_useless(name: str, words: list[str], device: torch.device) -> None:
    """Refuse words that a device has no use for.

    Raises:
        CourseError: it is no GPU of CUDA's, or one without bfloat16.
    """
    plain = name.split("+")[0]
    if words and device.type != "cuda":
        raise CourseError(
            f"base_model {name!r}: {' and '.join(words)} help on a CUDA GPU alone, and this is {device.type}: take {plain!r}"
        )
    if "bf16" in words and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise CourseError(f"base_model {name!r}: this GPU has no bfloat16: take {plain!r}")


def use_bf16(bridge: "TransformerBridge") -> None:
    """Let the layers' products round to bfloat16; weights, residual stream, values and logits stay float32.

    Logits lie around -50 and more, where bfloat16 knows steps of a quarter: they must not be rounded.
    """
    rounding = torch.autocast(torch.device(bridge.cfg.device).type, dtype=torch.bfloat16)
    for block in bridge.blocks:
        layer = block.original_component
        layer.forward = rounding(layer.forward)


def compile_mlps(bridge: "TransformerBridge", backend: str = "inductor") -> None:
    """Compile each layer's MLP by itself: attention, whose cache has another length at each token, and all hooks stay plain code."""
    for block in bridge.blocks:
        block.mlp.original_component.compile(backend=backend, dynamic=True)


OPTIONS: dict[str, Callable[["TransformerBridge"], None]] = {"bf16": use_bf16, "compile": compile_mlps}
