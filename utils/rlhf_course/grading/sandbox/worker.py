"""Import one answer in a sandbox, and execute the judge's requests on it, one message at a time.

The judge does not trust this process, because a learner's code runs in it.
"""

import importlib
import os
import random
import socket
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlhf_course.checks.torch_settings import preserved_torch_settings
from rlhf_course.course import BY_NAME
from rlhf_course.grading.drivers import driver
from rlhf_course.grading.sandbox.protocol import UNCAPPED, ConnectionClosed, ProtocolError, bytes_of, receive, send
from rlhf_course.grading.sandbox.serialization import Packer, string_lists, unpack
from rlhf_course.stubs import NOT_WRITTEN

_MAX_STORED_CALLS = 256
_PACKAGE_INIT = "from rlhf_course.exercises import serve_exercises\n\nserve_exercises(__name__)\n"


class Worker:
    """Holds one answer, and the calls of it that the judge may still request a backward pass of.

    Args:
        connection: The socket to the judge.
        home: The folder to write the learner's files to.
        output_bytes: The largest size of a tensor in a reply.
    """

    def __init__(self, connection: socket.socket, home: Path, output_bytes: int) -> None:
        self._connection, self._home, self._output_bytes = connection, home, output_bytes
        self._exercise = ""
        self._own_files: list[str] = []
        self._calls: OrderedDict[int, tuple[list[Tensor], list[Tensor]]] = OrderedDict()

    def serve(self) -> None:
        """Execute requests until the judge disconnects."""
        operations: dict[str, Callable[..., tuple[Any, list[Tensor]]]] = {
            "open": self.open,
            "call": self.call,
            "backward": self.backward,
            "drive": self.drive,
        }
        while True:
            try:
                (operation, arguments), tensors = receive(self._connection, UNCAPPED)
            except (ConnectionClosed, ProtocolError):
                return
            try:
                body, results = operations[operation](tensors, **arguments)
                send(self._connection, ["done", body], results)
            except ConnectionClosed:
                return
            except BaseException as error:  # An answer may raise anything.
                send(self._connection, ["raised", self._describe_exception(error)])

    def open(self, _: list[Tensor], exercise: str, files: dict[str, str], own: list[str]) -> tuple[Any, list[Tensor]]:
        """Write the files and import the answer.

        Args:
            exercise: The name of the exercise.
            files: Texts by path.
            own: The paths of the files that the learner wrote.
        """
        self._exercise, self._own_files = exercise, own
        packages = {path.partition("/")[0] for path in files}
        for name, text in {**files, **{f"{package}/__init__.py": _PACKAGE_INIT for package in packages}}.items():
            path = self._home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
        sys.path.insert(0, str(self._home))
        with _seeded():
            self._answer()
        return None, []

    def _answer(self) -> Any:
        return getattr(importlib.import_module(BY_NAME[self._exercise].part), self._exercise)

    def call(
        self,
        tensors: list[Tensor],
        number: int,
        arguments: Any,
        gradients: dict[str, str],
        strides: dict[str, list[int]],
    ) -> tuple[Any, list[Tensor]]:
        """Call the answer as a function.

        Args:
            tensors: The tensors among the arguments.
            number: The number under which `backward` finds this call.
            arguments: The packed arguments.
            gradients: For each tensor that requires a gradient, by its index as text: "leaf" if it is a leaf of the
                autograd graph, "result" otherwise.
            strides: The strides of each tensor that is not contiguous, by its index as text.

        Returns:
            The packed result, the indices of its tensors that require a gradient (`attached`), and the arguments that
            the answer changed in place: tensors (`changed`), lists of strings (`rewritten`) and whether a tensor
            requires a gradient (`flagged`).
        """
        laid_out = [_with_strides(tensor, strides.get(str(index))) for index, tensor in enumerate(tensors)]
        inputs, leaves = _autograd_inputs(laid_out, {int(index): kind for index, kind in gradients.items()})
        args, kwargs = unpack(arguments, inputs)
        lists = string_lists(args, kwargs)
        lists_before = [list(strings) for strings in lists]
        with _seeded(), preserved_torch_settings():
            result = self._answer()(*args, **kwargs)
        packer = Packer(self._output_bytes)
        body = {"result": packer.pack(result)}
        body["attached"] = [index for index, tensor in enumerate(packer.tensors) if tensor.requires_grad]
        if body["attached"]:
            self._store_call(number, [packer.tensors[index] for index in body["attached"]], leaves)
        body["changed"] = [
            [index, packer.pack(after.detach())]
            for index, (after, before) in enumerate(zip(inputs, tensors, strict=True))
            if _differ(after.detach(), before)
        ]
        body["flagged"] = [
            [index, tensor.requires_grad]
            for index, tensor in enumerate(inputs)
            if tensor.requires_grad != (str(index) in gradients)
        ]
        body["rewritten"] = [
            [index, packer.pack(after)]
            for index, (after, before) in enumerate(zip(lists, lists_before, strict=True))
            if after != before
        ]
        return body, packer.tensors

    def _store_call(self, number: int, results: list[Tensor], leaves: list[Tensor]) -> None:
        self._calls[number] = results, leaves
        if len(self._calls) > _MAX_STORED_CALLS:
            self._calls.popitem(last=False)

    def backward(self, tensors: list[Tensor], number: int) -> tuple[Any, list[Tensor]]:
        """Run the backward pass of a call.

        Args:
            tensors: The gradients of the call's results.
            number: The number that was given to `call`.

        Returns:
            The packed gradients of the call's leaves; None for a leaf that the results do not depend on.
        """
        results, leaves = self._calls[number]
        gradients = torch.autograd.grad(results, leaves, tensors, retain_graph=True, allow_unused=True)
        packer = Packer(self._output_bytes)
        return packer.pack(list(gradients)), packer.tensors

    def drive(self, tensors: list[Tensor], name: str, inputs: Any) -> tuple[Any, list[Tensor]]:
        """Run a driver with the answer.

        Args:
            tensors: The tensors among the inputs.
            name: The name of the driver.
            inputs: The packed inputs.

        Returns:
            The packed result.
        """
        run = driver(self._exercise, name)
        with _seeded(), preserved_torch_settings():
            result = run(self._answer(), **unpack(inputs, tensors))
        packer = Packer(self._output_bytes)
        return packer.pack(result), packer.tensors

    def _describe_exception(self, error: BaseException) -> dict[str, Any]:
        """Return the names of an exception's classes and the last of the learner's lines that it passed through."""
        file, line = None, None
        if isinstance(error, SyntaxError) and self._own_name(error.filename):
            file, line = self._own_name(error.filename), error.lineno
        trace = error.__traceback__
        while trace is not None:
            if own_name := self._own_name(trace.tb_frame.f_code.co_filename):
                file, line = own_name, trace.tb_lineno
            trace = trace.tb_next
        names = [kind.__name__ for kind in type(error).__mro__ if kind not in (BaseException, object)]
        missing = isinstance(error, NotImplementedError) and error.args == (NOT_WRITTEN,)
        return {"names": names or ["BaseException"], "file": file, "line": line, "missing": missing}

    def _own_name(self, path: Any) -> str | None:
        """Return the path, below the home folder, of a file that the learner wrote; None for any other file."""
        prefix = f"{self._home}{os.sep}"
        name = path.removeprefix(prefix) if isinstance(path, str) else None
        return name if name in self._own_files else None


def _autograd_inputs(tensors: Sequence[Tensor], gradients: Mapping[int, str]) -> tuple[list[Tensor], list[Tensor]]:
    """Return what to call the answer with: tensors, or copies of them; and the leaves that will have gradients."""
    inputs, leaves = [], []
    for index, tensor in enumerate(tensors):
        if index in gradients:
            leaves.append(tensor.requires_grad_(True))
        # Autograd forbids to change a leaf in place, but allows it for the result of an operation.
        inputs.append(tensor.clone() if gradients.get(index) == "result" else tensor)
    return inputs, leaves


def _with_strides(tensor: Tensor, strides: Sequence[int] | None) -> Tensor:
    """Return a copy of a tensor that lies in memory as strides say; contiguous if there are none."""
    if strides is None or not tensor.numel():
        return tensor.clone()
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, strides, strict=True))
    return torch.zeros(extent, dtype=tensor.dtype).as_strided(tensor.shape, strides).copy_(tensor)


def _differ(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors differ in shape, dtype, layout or bytes; a NaN is equal to the same NaN."""
    if first.shape != second.shape or first.dtype != second.dtype or first.layout != second.layout:
        return True
    return bool(first.numel()) and not torch.equal(_as_bytes(first), _as_bytes(second))


def _as_bytes(tensor: Tensor) -> Tensor:
    return torch.from_numpy(np.frombuffer(bytes_of(tensor.contiguous()), dtype=np.uint8))


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed the global random number generators, and suppress warnings in the block, in which an answer runs."""
    random.seed(0)
    np.random.seed(0)
    torch.default_generator.manual_seed(0)
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def run_worker(connection: socket.socket, home: Path, output_bytes: int) -> None:
    """Serve the requests of one sandbox."""
    Worker(connection, home, output_bytes).serve()
