"""What runs in a sandbox: it loads one answer and does with it what the judge asks, message by message.

Nothing here is trusted by the judge, since a learner's code runs in the same process.
"""

import importlib
import os
import random
import socket
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlhf_course.checks.core import preserved_state
from rlhf_course.course import BY_NAME
from rlhf_course.grading.drivers import driver
from rlhf_course.grading.sandbox.protocol import UNCAPPED, ConnectionClosed, ProtocolError, bytes_of, receive, send
from rlhf_course.grading.sandbox.serialization import Packer, lists_of_texts, unpack
from rlhf_course.stubs import NOT_WRITTEN

# Calls whose graphs are kept for a backward pass.
_CALLS_KEPT = 256


class Worker:
    """One answer, and the calls of it that a backward pass may still ask about.

    Args:
        connection: to the judge.
        home: the folder to write the learner's files to.
        array_bytes: of tensors that a reply may hold.
    """

    def __init__(self, connection: socket.socket, home: Path, array_bytes: int) -> None:
        self._connection, self._home, self._array_bytes = connection, home, array_bytes
        self._exercise = ""
        self._own: list[str] = []
        self._calls: OrderedDict[int, tuple[list[Tensor], list[Tensor]]] = OrderedDict()

    def serve(self) -> None:
        """Answer until the judge is gone."""
        asked: dict[str, Callable[..., tuple[Any, list[Tensor]]]] = {
            "open": self.open,
            "call": self.call,
            "backward": self.backward,
            "drive": self.drive,
        }
        while True:
            try:
                (what, details), tensors = receive(self._connection, UNCAPPED)
            except (ConnectionClosed, ProtocolError):
                return
            try:
                body, results = asked[what](tensors, **details)
                send(self._connection, ["done", body], results)
            except ConnectionClosed:
                return
            except BaseException as error:  # an answer may raise anything
                send(self._connection, ["raised", self._account(error)])

    def open(self, _: list[Tensor], exercise: str, files: dict[str, str], own: list[str]) -> tuple[Any, list[Tensor]]:
        """Write the files, of which some are the learner's own, and load the answer."""
        self._exercise, self._own = exercise, own
        opening = "from rlhf_course.exercises import serve_exercises\n\nserve_exercises(__name__)\n"
        packages = {path.partition("/")[0] for path in files}
        for name, text in {**files, **{f"{package}/__init__.py": opening for package in packages}}.items():
            path = self._home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
        sys.path.insert(0, str(self._home))
        with preserved_state():
            self._answer()
        return None, []

    def _answer(self) -> Any:
        return getattr(importlib.import_module(BY_NAME[self._exercise].part), self._exercise)

    def call(
        self, tensors: list[Tensor], number: int, arguments: Any, gradients: dict[str, str]
    ) -> tuple[Any, list[Tensor]]:
        """Call the answer as a function.

        Args:
            gradients: which tensors (by number, as text) require one: a "leaf", or a "result" of something else.

        Returns: the result, which tensors of it hang on autograd, and the arguments, tensors and lists of texts, that were
        changed in place.
        """
        passed, leaves = _passed(tensors, {int(place): kind for place, kind in gradients.items()})
        args, kwargs = unpack(arguments, passed)
        lists = lists_of_texts(args, kwargs)
        before = [list(one) for one in lists]
        with preserved_state():
            result = self._answer()(*args, **kwargs)
        packer = Packer(self._array_bytes)
        body = {"result": packer.pack(result)}
        body["attached"] = [place for place, one in enumerate(packer.tensors) if one.requires_grad]
        if body["attached"]:
            self._keep(number, [packer.tensors[place] for place in body["attached"]], leaves)
        compared = enumerate(zip(passed, tensors, strict=True))
        body["changed"] = [
            [place, packer.pack(now.detach())] for place, (now, was) in compared if _differ(now.detach(), was)
        ]
        compared = enumerate(zip(lists, before, strict=True))
        body["rewritten"] = [[place, packer.pack(now)] for place, (now, was) in compared if now != was]
        return body, packer.tensors

    def _keep(self, number: int, results: list[Tensor], leaves: list[Tensor]) -> None:
        self._calls[number] = results, leaves
        if len(self._calls) > _CALLS_KEPT:
            self._calls.popitem(last=False)

    def backward(self, tensors: list[Tensor], number: int) -> tuple[Any, list[Tensor]]:
        """Gradients of a call's results, weighted by the tensors that came, at its inputs; None where there is none."""
        results, leaves = self._calls[number]
        found = torch.autograd.grad(results, leaves, tensors, retain_graph=True, allow_unused=True)
        packer = Packer(self._array_bytes)
        return packer.pack(list(found)), packer.tensors

    def drive(self, tensors: list[Tensor], name: str, inputs: Any) -> tuple[Any, list[Tensor]]:
        """Run a driver with the answer."""
        run = driver(self._exercise, name)
        with preserved_state():
            result = run(self._answer(), **unpack(inputs, tensors))
        packer = Packer(self._array_bytes)
        return packer.pack(result), packer.tensors

    def _account(self, error: BaseException) -> dict[str, Any]:
        """What is told of an exception: classes, and the last line of the learner's own that it came through."""
        file, line = None, None
        if isinstance(error, SyntaxError) and self._name_of(error.filename):
            file, line = self._name_of(error.filename), error.lineno
        trace = error.__traceback__
        while trace is not None:
            if own := self._name_of(trace.tb_frame.f_code.co_filename):
                file, line = own, trace.tb_lineno
            trace = trace.tb_next
        names = [one.__name__ for one in type(error).__mro__ if one not in (BaseException, object)]
        missing = isinstance(error, NotImplementedError) and error.args == (NOT_WRITTEN,)
        return {"names": names or ["BaseException"], "file": file, "line": line, "missing": missing}

    def _name_of(self, path: Any) -> str | None:
        """The learner's name of a file; None where it is not the learner's."""
        prefix = f"{self._home}{os.sep}"
        name = path.removeprefix(prefix) if isinstance(path, str) else None
        return name if name in self._own else None


def _passed(tensors: Sequence[Tensor], gradients: Mapping[int, str]) -> tuple[list[Tensor], list[Tensor]]:
    """What the answer is called with in place of tensors, and the leaves that gradients are asked of."""
    passed, leaves = [], []
    for place, tensor in enumerate(tensors):
        one = tensor.clone()
        if place in gradients:
            leaves.append(one.requires_grad_(True))
            # A leaf that requires a gradient cannot be changed in place; a result can.
            one = one if gradients[place] == "leaf" else one.clone()
        passed.append(one)
    return passed, leaves


def _differ(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors differ, as bytes: one that is not a number is itself."""
    if one.shape != other.shape or one.dtype != other.dtype or one.layout != other.layout:
        return True
    return bool(one.numel()) and bytes_of(one.contiguous()) != bytes_of(other.contiguous())


def work(connection: socket.socket, home: Path, array_bytes: int) -> None:
    """Be the process of one sandbox."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    Worker(connection, home, array_bytes).serve()
