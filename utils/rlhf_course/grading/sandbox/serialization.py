"""Arguments and results as data that can be sent: numbers, strings, tensors, and lists, tuples and dicts of them."""

import builtins
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rlhf_course.grading.sandbox.protocol import DTYPES, ProtocolError

_DEPTH = 32
_NODES = 10_000
# Names of classes that a report may show. Others could carry anything out of a sandbox, the reference's code included.
_KNOWN = {name for name, one in vars(builtins).items() if isinstance(one, type)} | set(
    [
        "NoneType",
        "function",
        "builtin_function_or_method",
        "method",
        "module",
        "generator",
        "partial",
        "ellipsis",
        "Tensor",
        "Parameter",
        "Size",
        "dtype",
        "device",
        "SparseTensor",
        "QuantizedTensor",
        "MetaTensor",
        "ComplexTensor",
        "UnusualTensor",
        "TensorTooLargeToSend",
        "Module",
        "Sequential",
        "Linear",
        "ModuleList",
        "ModuleDict",
        "TransformerBridge",
        "BridgeModel",
        "HookedTransformerWithValueHead",
        "RLHFTrainer",
        "Trainer",
        "Optimizer",
        "Adam",
        "AdamW",
        "SGD",
        "Adagrad",
        "Adamax",
        "NAdam",
        "RAdam",
        "RMSprop",
        "Rprop",
        "Adadelta",
        "ASGD",
        "SparseAdam",
        "Muon",
        "LBFGS",
        "LambdaLR",
        "ndarray",
        "float16",
        "float32",
        "float64",
        "int32",
        "int64",
        "bool_",
        "DataFrame",
        "Series",
        "Counter",
        "OrderedDict",
        "defaultdict",
        "deque",
        "ReplayMemory",
        "ReplayMinibatch",
        "RLHFArgs",
        "BatchEncoding",
        "ModelOutput",
        "SequenceClassifierOutput",
        "CausalLMOutputWithCrossAttentions",
        "CourseError",
        "OutOfMemoryError",
        "AcceleratorError",
        "LinAlgError",
        "AxisError",
        "EinopsError",
        "TypeCheckError",
        "JSONDecodeError",
        "PicklingError",
    ]
)
OTHER = "object"


class OpaqueObject:
    """Stands for something that a sandbox does not hand out; its class has the name that the thing's type has there."""


def named(name: Any) -> str:
    """A class name that a sandbox gave, where it is one that everybody knows; "object" in place of any other."""
    return name if isinstance(name, str) and name in _KNOWN else OTHER


class Packer:
    """Turns values into JSON, and gathers the tensors that belong to it, each once however often it occurs.

    Args:
        array_bytes: how large a tensor may be; a larger one is sent as its type's name.
    """

    def __init__(self, array_bytes: int) -> None:
        self.tensors: list[Tensor] = []
        self._most = array_bytes
        self._numbers: dict[int, int] = {}
        self._nodes = 0

    def pack(self, value: Any, depth: int = 0) -> Any:
        """A value as JSON; of what cannot be sent, the type's name."""
        self._nodes += 1
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Tensor):
            return self._pack_tensor(value)
        if depth < _DEPTH and self._nodes < _NODES:
            if isinstance(value, list | tuple):
                tag = "list" if isinstance(value, list) else "tuple"
                return [tag, *[self.pack(one, depth + 1) for one in value]]
            if isinstance(value, dict):
                return ["dict", *[[self.pack(key, depth + 1), self.pack(one, depth + 1)] for key, one in value.items()]]
        return ["foreign", type(value).__name__]

    def _pack_tensor(self, tensor: Tensor) -> Any:
        if hindrance := self._hindrance(tensor):
            return ["foreign", hindrance]
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
        return ["tensor", self._numbers[id(tensor)]]

    def _hindrance(self, tensor: Tensor) -> str:
        """Why a tensor cannot be sent, as a type's name; empty where it can be."""
        if tensor.layout != torch.strided:
            return "SparseTensor"
        if (
            tensor.is_quantized
            or tensor.is_meta
            or tensor.is_complex()
            or str(tensor.dtype).removeprefix("torch.") not in DTYPES
        ):
            kinds = {
                "QuantizedTensor": tensor.is_quantized,
                "MetaTensor": tensor.is_meta,
                "ComplexTensor": tensor.is_complex(),
            }
            return next((name for name, applies in kinds.items() if applies), "UnusualTensor")
        return "TensorTooLargeToSend" if tensor.numel() * tensor.element_size() > self._most else ""


class Unpacker:
    """Turns JSON from `Packer` back into values, and trusts none of it.

    Args:
        tensors: those that came with it.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors
        self._nodes = 0

    def unpack(self, node: Any, depth: int = 0) -> Any:
        """The value that JSON stands for.

        Raises:
            ProtocolError: it is not of a packer's making.
        """
        self._nodes += 1
        if node is None or isinstance(node, bool | int | float | str):
            return node
        if not (isinstance(node, list) and node and depth <= _DEPTH and self._nodes <= 2 * _NODES):
            raise ProtocolError("a value of no known kind, or too large a one")
        tag, rest = node[0], node[1:]
        if tag in ("list", "tuple"):
            values = [self.unpack(one, depth + 1) for one in rest]
            return values if tag == "list" else tuple(values)
        if tag == "dict" and all(isinstance(pair, list) and len(pair) == 2 for pair in rest):
            return {_key(key): self.unpack(one, depth + 1) for key, one in rest}
        if tag == "tensor" and len(rest) == 1 and is_place(rest[0], len(self._tensors)):
            return self._tensors[rest[0]]
        if tag == "foreign" and len(rest) == 1:
            return _foreign(named(rest[0]))()
        raise ProtocolError("a value of no known kind")


def unpack(node: Any, tensors: Sequence[Tensor]) -> Any:
    """See `Unpacker`."""
    return Unpacker(tensors).unpack(node)


def lists_of_texts(args: Sequence[Any], kwargs: dict[str, Any]) -> list[list[str]]:
    """Those arguments of a call that are lists of texts."""
    lists = [one for one in (*args, *kwargs.values()) if isinstance(one, list)]
    return [one for one in lists if all(isinstance(text, str) for text in one)]


def is_place(number: Any, length: int) -> bool:
    """Whether something that came is a place in a list of that length."""
    return type(number) is int and 0 <= number < length


@lru_cache(maxsize=256)
def _foreign(name: str) -> type:
    return type(name, (OpaqueObject,), {})


def _key(key: Any) -> Any:
    if key is None or isinstance(key, bool | int | float | str):
        return key
    raise ProtocolError("a dict with an unusual key")
