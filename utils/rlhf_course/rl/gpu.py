"""Parse and apply the GPU options that may follow a model's name: `gpt2-small+bf16+compile`.

The options are off by default. bf16 is less exact: PPO's ratio is then no longer 1 to five decimals before the first
step. Compiling takes seconds before the first phase. Neither helps on a CPU, where both are refused.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rlhf_course.errors import CourseError

if TYPE_CHECKING:  # names are parsed without loading TransformerLens
    from transformer_lens.model_bridge import TransformerBridge


def split_name(name: str) -> tuple[str, list[str]]:
    """Split a model's name from the options that follow it.

    Raises:
        CourseError: An option is not one of `OPTIONS`.
    """
    if "+" not in name or Path(name).expanduser().is_dir():  # a folder's name may contain a +
        return name, []
    plain, *options = name.split("+")
    if unknown := [option for option in options if option not in OPTIONS]:
        raise CourseError(
            f"base_model {name!r}: what follows a + takes {' or '.join(OPTIONS)}, got {', '.join(map(repr, unknown))}"
        )
    return plain, options


def check_options(name: str, options: list[str], device: torch.device) -> None:
    """Check that a device supports the options of a model's name.

    Raises:
        CourseError: There are options, and the device is not a CUDA GPU; or bf16 is one, and the GPU has no bfloat16.
    """
    plain = name.split("+")[0]
    if options and device.type != "cuda":
        raise CourseError(
            f"base_model {name!r}: {' and '.join(options)} need a CUDA GPU, and the device is "
            f"{device.type}: use {plain!r}"
        )
    if "bf16" in options and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise CourseError(f"base_model {name!r}: this GPU has no bfloat16: use {plain!r}")


def use_bf16(bridge: "TransformerBridge") -> None:
    """Let the layers multiply in bfloat16; weights, residual stream, values and logits stay float32.

    Logits have magnitudes of 50 and more, where neighbouring bfloat16 numbers are a quarter apart, so they must not be
    rounded.
    """
    autocast = torch.autocast(torch.device(bridge.cfg.device or "cpu").type, dtype=torch.bfloat16)
    for block in bridge.blocks:
        layer = block.original_component
        layer.forward = autocast(layer.forward)


def compile_mlps(bridge: "TransformerBridge", backend: str = "inductor") -> None:
    """Compile each layer's MLP. Attention, whose cache is longer at each token, and hooks are not compiled."""
    for block in bridge.blocks:
        block.mlp.original_component.compile(backend=backend, dynamic=True)


OPTIONS: dict[str, Callable[["TransformerBridge"], None]] = {"bf16": use_bf16, "compile": compile_mlps}
