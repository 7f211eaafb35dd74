"""Define proxies of the answers in a sandbox, which behave like the learner's functions and drivers in this process."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor

from rlhf_course.course import BY_NAME
from rlhf_course.grading.drivers import DRIVEN, driver
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox.answers import AnswerError
from rlhf_course.grading.sandbox.protocol import ProtocolError
from rlhf_course.grading.sandbox.serialization import Packer, is_index, string_lists, unpack
from rlhf_course.grading.sandbox.session import Session, submission_timeout_message
from rlhf_course.grading.sandbox.zygote_client import Sandbox, Zygote
from rlhf_course.grading.submissions.submission import Submission

_MAX_STRING_LISTS = 16
_MAX_ARGUMENT_BYTES = 2**40


class SandboxedAnswers:
    """The answers of one submission, each in a sandbox of its own, one at a time.

    Use it as a context manager, which terminates the last sandbox.

    Args:
        zygote: The zygote, from which sandboxes are forked.
        submission: The learner's files.
        limits: The resource limits of each answer. The submission's time begins now.
    """

    def __init__(self, zygote: Zygote, submission: Submission, limits: ResourceLimits) -> None:
        self._zygote, self._submission, self._limits = zygote, submission, limits
        self._deadline = time.monotonic() + limits.submission_timeout
        self._session: Session | None = None

    def __enter__(self) -> "SandboxedAnswers":
        return self

    def __exit__(self, *_: object) -> None:
        self._terminate()

    def _terminate(self) -> None:
        if self._session is not None:
            self._session.terminate()

    def answer(self, exercise: str) -> Any:
        """Return the proxy of an answer, and terminate the sandbox of the previous one; see `Answers.answer`."""
        self._terminate()
        if exercise in self._submission.unreadable:
            raise AnswerError("unreadable", "what was handed in could not be read")
        if BY_NAME[exercise].path not in self._submission.files:
            raise AnswerError("missing", f"there is no {BY_NAME[exercise].file}, or nothing is written in it")
        if time.monotonic() >= self._deadline:
            raise AnswerError("timeout", submission_timeout_message(self._limits))
        self._session = Session(self._zygote, exercise, self._submission.files, self._limits, self._deadline)
        self._session.open()
        return (_DriverProxy if exercise in DRIVEN else _FunctionProxy)(self._session)


class _DriverProxy:
    """An answer that tests reach only through drivers."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Callable[..., Any]:
        driver(self._session.exercise, name)  # This raises AttributeError for an unknown driver.

        def run(**inputs: Any) -> Any:
            packer = Packer(self._session.output_bytes)
            arguments = {"name": name, "inputs": packer.pack(inputs)}
            body, tensors = self._session.request("drive", arguments, packer.tensors)
            return self._parse(lambda: unpack(body, tensors))

        return run

    def _parse(self, parser: Callable[[], Any]) -> Any:
        """Return the result of a parser of a reply; if the reply has an unexpected form, terminate the sandbox."""
        try:
            return parser()
        except ProtocolError as error:
            raise self._session.death(error) from error


class _FunctionProxy(_DriverProxy):
    """An answer that tests call as a function; a backward pass is a second request."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._call_numbers = count()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        packer = Packer(_MAX_ARGUMENT_BYTES)
        packed = packer.pack((args, kwargs))
        inputs = packer.tensors
        gradients = {
            index: "leaf" if tensor.is_leaf else "result" for index, tensor in enumerate(inputs) if tensor.requires_grad
        }
        number = next(self._call_numbers)
        strides = {
            index: tensor.stride()
            for index, tensor in enumerate(inputs)
            if not tensor.is_contiguous() and all(stride > 0 for stride in tensor.stride())
        }
        arguments = {"number": number, "arguments": packed, "gradients": gradients, "strides": strides}
        body, tensors = self._session.request("call", arguments, inputs)
        reply = self._parse(lambda: _CallReply.parse(body, tensors, len(inputs)))
        reply.apply_changes(inputs, string_lists(args, kwargs))
        if not gradients:
            for index in reply.attached:  # The result depends on a parameter of the answer's own.
                tensors[index].requires_grad_(True)
        if reply.attached and gradients:
            tensors = self._attach(number, reply.attached, tensors, [inputs[index] for index in gradients])
        reply.apply_flags(inputs)
        return self._parse(lambda: unpack(reply.result, tensors))

    def _attach(
        self, number: int, indices: Sequence[int], tensors: Sequence[Tensor], sources: Sequence[Tensor]
    ) -> list[Tensor]:
        """Return the tensors, and let those at some indices get their gradients from the sandbox."""
        backward = partial(self._backward, self._session.sandbox, number, len(sources))
        with torch.enable_grad():
            attached = _RemoteFunction.apply(backward, [tensors[index] for index in indices], *sources)
        replaced = dict(zip(indices, attached, strict=True))
        return [replaced.get(index, tensor) for index, tensor in enumerate(tensors)]

    def _backward(
        self, sandbox: Sandbox | None, number: int, source_count: int, output_gradients: Sequence[Tensor]
    ) -> list[Tensor | None]:
        if self._session.sandbox is not sandbox:
            raise AnswerError("error", "the process that held the graph for the backward pass has ended")
        body, tensors = self._session.request("backward", {"number": number}, output_gradients)
        gradients: list[Tensor | None] = self._parse(lambda: _parse_gradients(body, tensors, source_count))
        return gradients


@dataclass(frozen=True)
class _CallReply:
    """The reply to a call.

    Attributes:
        result: The packed result.
        attached: The indices of the received tensors that require a gradient.
        changed: The tensors that the answer changed in place, by their index among the arguments' tensors.
        rewritten: The lists of strings that the answer changed in place, by their index among those.
        flagged: Whether a tensor requires a gradient, if the answer changed that, by its index.
    """

    result: Any
    attached: list[int]
    changed: dict[int, Tensor]
    rewritten: dict[int, list[Any]]
    flagged: dict[int, bool]

    @classmethod
    def parse(cls, body: Any, tensors: Sequence[Tensor], input_count: int) -> "_CallReply":
        """Read the reply from a message.

        Args:
            body: The message's body.
            tensors: The message's tensors.
            input_count: The number of tensors among the arguments.

        Raises:
            ProtocolError: The body has another form.
        """
        if not (isinstance(body, dict) and all(isinstance(body.get(key), list) for key in ("attached", "changed"))):
            raise ProtocolError("the body is not a reply to a call")
        attached = body["attached"]
        if not all(is_index(index, len(tensors)) and tensors[index].is_floating_point() for index in attached):
            raise ProtocolError("a gradient is announced for a result that cannot have one")
        changed = {index: unpack(node, tensors) for index, node in _indexed(body["changed"], input_count)}
        rewritten = {index: unpack(node, tensors) for index, node in _indexed(body.get("rewritten"), _MAX_STRING_LISTS)}
        flagged = {index: bool(flag) for index, flag in _indexed(body.get("flagged"), input_count)}
        if not all(isinstance(value, Tensor) for value in changed.values()):
            raise ProtocolError("an argument that was a tensor is not a tensor any more")
        if not all(isinstance(value, list) for value in rewritten.values()):
            raise ProtocolError("an argument that was a list is not a list any more")
        return cls(body.get("result"), list(dict.fromkeys(attached)), changed, rewritten, flagged)

    def apply_changes(self, inputs: Sequence[Tensor], lists: Sequence[list[str]]) -> None:
        """Change the caller's arguments as the answer changed its copies of them."""
        for index, tensor in self.changed.items():
            _overwrite(inputs[index], tensor)
        for index, strings in self.rewritten.items():
            if index < len(lists):
                lists[index][:] = strings

    def apply_flags(self, inputs: Sequence[Tensor]) -> None:
        """Let the caller's arguments require a gradient only where the answer's copies of them still do."""
        for index, flag in self.flagged.items():
            tensor = inputs[index]
            if tensor.is_leaf and tensor.is_floating_point():
                tensor.requires_grad_(flag)
            elif not flag and not tensor._is_view():  # PyTorch refuses to detach a view in place.
                tensor.detach_()


def _indexed(pairs: Any, length: int) -> list[tuple[int, Any]]:
    """Return the received pairs whose first item is an index of a list of some length."""
    candidates = (
        [pair for pair in pairs if isinstance(pair, list) and len(pair) == 2] if isinstance(pairs, list) else []
    )
    return [(index, node) for index, node in candidates if is_index(index, length)]


def _parse_gradients(body: Any, tensors: Sequence[Tensor], source_count: int) -> list[Tensor | None]:
    gradients = unpack(body, tensors)
    if not (isinstance(gradients, list) and len(gradients) == source_count):
        raise ProtocolError("the body is not a list of gradients")
    if not all(gradient is None or isinstance(gradient, Tensor) for gradient in gradients):
        raise ProtocolError("a gradient is not a tensor")
    return gradients


def _overwrite(tensor: Tensor, changed: Tensor) -> None:
    """Copy the numbers of a changed copy to a tensor, and also its shape and dtype if they differ."""
    with torch.no_grad():
        if changed.shape == tensor.shape and changed.dtype == tensor.dtype:
            tensor.copy_(changed)
        else:
            tensor.data = changed


class _RemoteFunction(torch.autograd.Function):
    """Attaches the results of a finished call to its inputs; the backward pass runs in the sandbox."""

    @staticmethod
    def forward(
        ctx: Any, backward: Callable[..., list[Tensor | None]], results: list[Tensor], *sources: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.backward_in_sandbox = backward
        ctx.shapes = [(source.shape, source.dtype) for source in sources]
        return tuple(results)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *output_gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.backward_in_sandbox(output_gradients)
        for gradient, (shape, dtype) in zip(gradients, ctx.shapes, strict=True):
            if gradient is not None and (gradient.shape != shape or gradient.dtype != dtype):
                raise AnswerError("error", "the gradient has another shape than its input")
        return None, None, *gradients
