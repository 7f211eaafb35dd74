"""Pack arguments and results into JSON and tensors: numbers, strings, tensors, and lists, tuples and dicts of them."""

import builtins
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rlhf_course.grading.sandbox.protocol import DTYPES, ProtocolError

_MAX_DEPTH = 32
_MAX_NODES = 10_000
# How many times as large as the tensors that were sent a value may be that holds some of them more than once.
_MAX_REFERENCES = 4
_MAX_INTEGER = 10**300
# Only these class names may appear in a report. A learner's code can choose any other name, and could use it to send
# data out of a sandbox, even the reference's code.
_KNOWN_CLASS_NAMES = {name for name, value in vars(builtins).items() if isinstance(value, type)} | {
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
    "RewardModel",
    "RLHFTrainer",
    "Trainer",
    "GRPOTrainer",
    "GroupTrainer",
    "GRPOBatch",
    "Completions",
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
}
OTHER = "object"


class OpaqueObject:
    """A placeholder for an object that a sandbox does not send; a subclass has the name of the object's type."""


def known_class_name(name: Any) -> str:
    """Return a class name from a sandbox if it is a well-known one, otherwise "object"."""
    return name if isinstance(name, str) and name in _KNOWN_CLASS_NAMES else OTHER


def shown_class_name(classes: Sequence[str]) -> str:
    """Return what to call an exception in a message: the first well-known one of its classes."""
    return next((name for name in classes if name != OTHER), "an exception")


class Packer:
    """Packs values into JSON, and collects each of their tensors once, even if it occurs several times.

    Args:
        max_tensor_bytes: The largest tensor to send; a larger one is replaced by the name of its kind.

    Attributes:
        tensors: The tensors that belong to the packed values.
    """

    def __init__(self, max_tensor_bytes: int) -> None:
        self.tensors: list[Tensor] = []
        self._max_tensor_bytes = max_tensor_bytes
        self._indices: dict[int, int] = {}
        self._nodes = 0

    def pack(self, value: Any, depth: int = 0) -> Any:
        """Return a value as JSON, in which any object that cannot be sent is replaced by the name of its type."""
        self._nodes += 1
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Tensor):
            return self._pack_tensor(value)
        if depth < _MAX_DEPTH and self._nodes < _MAX_NODES:
            if isinstance(value, list | tuple):
                tag = "list" if isinstance(value, list) else "tuple"
                return [tag, *[self.pack(item, depth + 1) for item in value]]
            if isinstance(value, dict):
                items = value.items()
                return ["dict", *[[self.pack(key, depth + 1), self.pack(item, depth + 1)] for key, item in items]]
        return ["foreign", type(value).__name__]

    def _pack_tensor(self, tensor: Tensor) -> Any:
        if kind := self._unsendable_kind(tensor):
            return ["foreign", kind]
        if id(tensor) not in self._indices:
            self._indices[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
        return ["tensor", self._indices[id(tensor)]]

    def _unsendable_kind(self, tensor: Tensor) -> str:
        """Return the kind of a tensor that cannot be sent, as a class name; empty if it can be sent."""
        kinds = {
            "SparseTensor": tensor.layout != torch.strided,
            "QuantizedTensor": tensor.is_quantized,
            "MetaTensor": tensor.is_meta,
            "ComplexTensor": tensor.is_complex(),
            "UnusualTensor": str(tensor.dtype).removeprefix("torch.") not in DTYPES,
        }
        if kind := next((name for name, applies in kinds.items() if applies), ""):
            return kind
        return "TensorTooLargeToSend" if tensor.numel() * tensor.element_size() > self._max_tensor_bytes else ""


class Unpacker:
    """Unpacks the JSON of a `Packer` into values, and checks it, since a learner's code may have forged it.

    Args:
        tensors: The tensors that came with the JSON.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors
        self._nodes = 0
        sent = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        self._bytes_left = _MAX_REFERENCES * sent

    def unpack(self, node: Any, depth: int = 0) -> Any:
        """Return the value that JSON stands for.

        Raises:
            ProtocolError: No `Packer` makes such JSON.
        """
        self._nodes += 1
        if self._nodes > 2 * _MAX_NODES:
            raise ProtocolError("a value has too many items")
        if node is None or isinstance(node, bool | float | str):
            return node
        if isinstance(node, int):
            return _small_integer(node)
        if not (isinstance(node, list) and node and depth <= _MAX_DEPTH):
            raise ProtocolError("a value has an unknown form or is nested too deep")
        tag, rest = node[0], node[1:]
        if tag in ("list", "tuple"):
            values = [self.unpack(item, depth + 1) for item in rest]
            return values if tag == "list" else tuple(values)
        if tag == "dict" and all(isinstance(pair, list) and len(pair) == 2 for pair in rest):
            return {_dict_key(key): self.unpack(item, depth + 1) for key, item in rest}
        if tag == "tensor" and len(rest) == 1 and is_index(rest[0], len(self._tensors)):
            return self._tensor(rest[0])
        if tag == "foreign" and len(rest) == 1:
            return _opaque_class(known_class_name(rest[0]))()
        raise ProtocolError("a value has an unknown form")

    def _tensor(self, index: int) -> Tensor:
        """Return a received tensor, unless a few tensors that occur very often would make a value of any size."""
        tensor = self._tensors[index]
        self._bytes_left -= tensor.numel() * tensor.element_size()
        if self._bytes_left < 0:
            raise ProtocolError("a tensor occurs too often")
        return tensor


def _small_integer(number: int) -> int:
    """Return an integer that a float can stand for; one of thousands of digits makes later arithmetic fail."""
    if abs(number) >= _MAX_INTEGER:
        raise ProtocolError("an integer is too large")
    return number


def unpack(node: Any, tensors: Sequence[Tensor]) -> Any:
    """Return the value that JSON and tensors stand for; see `Unpacker`."""
    return Unpacker(tensors).unpack(node)


def string_lists(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[list[str]]:
    """Return the arguments of a call that are lists of strings."""
    lists = [argument for argument in (*args, *kwargs.values()) if isinstance(argument, list)]
    return [strings for strings in lists if all(isinstance(string, str) for string in strings)]


def is_index(value: Any, length: int) -> bool:
    """Return whether a received value is an index of a list of some length."""
    return type(value) is int and 0 <= value < length


@lru_cache(maxsize=256)
def _opaque_class(name: str) -> type:
    return type(name, (OpaqueObject,), {})


def _dict_key(key: Any) -> Any:
    if key is None or isinstance(key, bool | int | float | str):
        return key
    raise ProtocolError("a dict has a key that is neither a number nor a string")
