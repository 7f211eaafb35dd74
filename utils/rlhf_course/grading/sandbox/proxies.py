"""Answers behind a sandbox's wall: proxies that behave as the learner's functions and drivers would in this process.

Nothing that a sandbox sends is believed to be more than data: a reply that is not of the form that was asked for ends the
sandbox, and what a reply says of an exception becomes a message only after each word of it was looked at.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from typing import Any

import torch
from torch import Tensor

from rlhf_course.course import BY_NAME, Exercise, part_of
from rlhf_course.grading.drivers import DRIVEN, driver
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox.answers import NOT_WRITTEN, AnswerError
from rlhf_course.grading.sandbox.protocol import Caps, ConnectionClosed, DeadlineExceeded, ProtocolError, receive, send
from rlhf_course.grading.sandbox.serialization import OTHER, Packer, is_place, lists_of_texts, named, unpack
from rlhf_course.grading.sandbox.zygote_client import Sandbox, Zygote
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import SOLUTIONS

# After so many deaths and timeouts an answer is not tried again.
_DEATHS = 2
# Arguments of a call that may be lists of texts.
_LISTS = 16
_SIGNALS = {
    4: "crashed (illegal instruction)",
    6: "crashed (abort)",
    7: "crashed (bus error)",
    8: "crashed (arithmetic error)",
    11: "crashed (segmentation fault)",
    24: "used up its processor time",
    25: "wrote too large a file",
}


class SandboxedAnswers:
    """One submission's answers, each in a sandbox of its own, one at a time.

    Use it as a context manager: at its end no sandbox is left.

    Args:
        zygote: where sandboxes come from.
        submission: the learner's files.
        limits: what an answer may take.
    """

    def __init__(self, zygote: Zygote, submission: Submission, limits: ResourceLimits) -> None:
        self._zygote, self._submission, self._limits = zygote, submission, limits
        self._session: Session | None = None

    def __enter__(self) -> "SandboxedAnswers":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._session is not None:
            self._session.end()

    def answer(self, exercise: str) -> Any:
        """See `Answers`; the answer that was asked for before ends."""
        self._end()
        if BY_NAME[exercise].path not in self._submission.files:
            raise AnswerError("missing", f"there is no {BY_NAME[exercise].file}, or nothing is written in it")
        self._session = Session(self._zygote, exercise, self._submission.files, self._limits)
        self._session.open()
        return (_Driven if exercise in DRIVEN else _Function)(self._session)


class Session:
    """The calls of one answer: in one sandbox, in another one after the first died, and no more after that one died too.

    Args:
        zygote, limits: see `SandboxedAnswers`.
        exercise: its name.
        files: the submission's.
    """

    def __init__(self, zygote: Zygote, exercise: str, files: Mapping[str, str], limits: ResourceLimits) -> None:
        self.exercise, self.output = exercise, limits.output * 1024
        self.sandbox: Sandbox | None = None
        self._zygote, self._limits = zygote, limits
        self._own = own_files(exercise, files)
        self._files = {**reference_files(exercise), **self._own}
        self._seconds_left = limits.exercise_timeout
        self._deaths = 0
        self._final: AnswerError | None = None

    def open(self) -> Sandbox:
        """The sandbox with the answer loaded.

        Raises:
            AnswerError: it does not load, or is not tried again.
        """
        if self._final is not None:
            raise self._final
        if self.sandbox is None:
            self.sandbox = self._zygote.sandbox()
            try:
                self._exchange("open", {"exercise": self.exercise, "files": self._files, "own": list(self._own)}, [])
            except AnswerError as error:
                self._final = error
                self.end()
                raise
        return self.sandbox

    def ask(self, what: str, details: Mapping[str, Any], tensors: Sequence[Tensor] = ()) -> tuple[Any, list[Tensor]]:
        """Have the worker in the sandbox do something.

        Returns: what it gives back.

        Raises:
            AnswerError: it raised, died, took too long, or sent what is no reply.
        """
        self.open()
        return self._exchange(what, details, tensors)

    def end(self) -> None:
        """End the sandbox."""
        if self.sandbox is not None:
            sandbox, self.sandbox = self.sandbox, None
            sandbox.end()

    def _exchange(self, what: str, details: Mapping[str, Any], tensors: Sequence[Tensor]) -> tuple[Any, list[Tensor]]:
        if self._seconds_left <= 0:
            self._final = AnswerError(
                "timeout", f"all calls together took over {self._limits.exercise_timeout:g} seconds"
            )
            raise self._final
        began = time.monotonic()
        deadline = began + min(self._limits.timeout, self._seconds_left)
        try:
            send(self.sandbox.connection, [what, details], tensors, deadline)
            reply, results = receive(self.sandbox.connection, Caps(array_bytes=self.output), deadline)
            return self._body_of(reply), results
        except (DeadlineExceeded, ConnectionClosed, ProtocolError) as hindrance:
            raise self.died(hindrance) from hindrance
        finally:
            self._seconds_left -= time.monotonic() - began

    def _body_of(self, reply: Any) -> Any:
        """What a reply gives back.

        Raises:
            AnswerError: it says that the answer raised.
            ProtocolError: it is none.
        """
        if not (isinstance(reply, list) and len(reply) == 2 and reply[0] in ("done", "raised")):
            raise ProtocolError("no reply of a known kind")
        if reply[0] == "raised":
            raise raised(reply[1], BY_NAME[self.exercise], self._own)
        return reply[1]

    def died(self, hindrance: Exception) -> AnswerError:
        """End a sandbox that is of no more use; gives the error that says why it is not."""
        sandbox, self.sandbox = self.sandbox, None
        code = sandbox.end(patient=isinstance(hindrance, ConnectionClosed))
        if isinstance(hindrance, DeadlineExceeded):
            error = AnswerError("timeout", f"no result within {self._limits.timeout:g} seconds")
        elif isinstance(hindrance, ConnectionClosed):
            error = AnswerError("error", _ended(code))
        else:
            error = AnswerError("error", f"what came back is no result: {hindrance}")
        self._deaths += 1
        if self._deaths >= _DEATHS:
            self._final = error
        return error


def own_files(exercise: str, files: Mapping[str, str]) -> dict[str, str]:
    """The files of a submission that one exercise is judged with: its own, and its part's that are no exercise's.

    Raises:
        AnswerError: a name is no path below the part's folder.
    """
    part = part_of(BY_NAME[exercise])
    others = {f"{part.name}/__init__.py"} | {other.path for other in part.exercises if other.name != exercise}
    own = {path: text for path, text in files.items() if path.startswith(f"{part.name}/") and path not in others}
    for path in own:
        if "\\" in path or "\0" in path or {"", ".", ".."} & set(path.split("/")):
            raise AnswerError("error", "a file of the submission has a name that leads out of its folder")
    return own


@cache
def reference_files(exercise: str) -> dict[str, str]:
    """The reference's answers that an exercise is judged with, by path: none unless it uses other exercises."""
    judged = BY_NAME[exercise]
    if not judged.uses:
        return {}
    others = [other for other in part_of(judged).exercises if other.name != exercise]
    others += [BY_NAME[name] for name in judged.uses if BY_NAME[name].part != judged.part]
    return {other.path: (SOLUTIONS / other.path).read_text(encoding="utf-8") for other in others}


def raised(account: Any, exercise: Exercise, own: Mapping[str, str]) -> AnswerError:
    """The error that a worker's account of an exception amounts to; only names and a line are taken from it."""
    known = account if isinstance(account, dict) else {}
    names = known.get("names")
    classes = tuple(named(one) for one in names[:16]) if isinstance(names, list) and names else (OTHER,)
    if known.get("missing") is True:
        return AnswerError("missing", NOT_WRITTEN, classes)
    shown = next((one for one in classes if one != OTHER), "an exception")
    line, where = known.get("line"), known.get("file")
    if isinstance(where, str) and where in own and type(line) is int and 0 < line <= own[where].count("\n") + 1:
        return AnswerError("error", f"{shown}, at line {line} of {where.removeprefix(f'{exercise.part}/')}", classes)
    return AnswerError("error", f"{shown}, outside {exercise.file}", classes)


def _ended(code: int | None) -> str:
    """Why a process is gone, by its exit code or minus the signal that ended it; None where it had to be killed."""
    if code is None:
        return "the process that ran it closed its connection"
    if code >= 0:
        return f"it ended its own process (exit code {code})"
    return f"the process that ran it {_SIGNALS.get(-code, f'was ended by signal {-code}')}"


class _Driven:
    """An answer that is only seen through drivers."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Callable[..., Any]:
        driver(self._session.exercise, name)  # an unknown one is an AttributeError here

        def run(**inputs: Any) -> Any:
            packer = Packer(self._session.output)
            body, tensors = self._session.ask("drive", {"name": name, "inputs": packer.pack(inputs)}, packer.tensors)
            return self._believed(lambda: unpack(body, tensors))

        return run

    def _believed(self, read: Callable[[], Any]) -> Any:
        """What is read from a reply; one that is not of the form that was asked for ends the sandbox."""
        try:
            return read()
        except ProtocolError as hindrance:
            raise self._session.died(hindrance) from hindrance


class _Function(_Driven):
    """An answer that is called as the function it is; a backward pass is a second call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        packer = Packer(2**40)
        arguments = packer.pack((args, kwargs))
        given = packer.tensors
        gradients = {place: "leaf" if one.is_leaf else "result" for place, one in enumerate(given) if one.requires_grad}
        details = {"number": next(_NUMBERS), "arguments": arguments, "gradients": gradients}
        body, tensors = self._session.ask("call", details, given)
        call = self._believed(lambda: _Call.of(body, tensors, len(given)))
        for place, now in call.changed.items():
            _overwrite(given[place], now)
        lists = lists_of_texts(args, kwargs)
        for place, now in call.rewritten.items():
            if place < len(lists):
                lists[place][:] = now
        if not gradients:
            for place in call.attached:  # to something of the answer's own, since no argument requires a gradient
                tensors[place].requires_grad_(True)
        if not (call.attached and gradients):
            return self._believed(lambda: unpack(call.result, tensors))
        sources = [given[place] for place in gradients]
        backward = partial(self._backward, self._session.sandbox, details["number"], len(sources))
        with torch.enable_grad():
            attached = _Remote.apply(backward, [tensors[place] for place in call.attached], *sources)
        hanging = dict(zip(call.attached, attached, strict=True))
        return self._believed(
            lambda: unpack(call.result, [hanging.get(place, one) for place, one in enumerate(tensors)])
        )

    def _backward(self, sandbox: Sandbox, number: int, wanted: int, weights: Sequence[Tensor]) -> list[Tensor | None]:
        if self._session.sandbox is not sandbox:
            raise AnswerError("error", "the process that held the graph for the backward pass has ended")
        body, tensors = self._session.ask("backward", {"number": number}, weights)
        return self._believed(lambda: _gradients(body, tensors, wanted))


_NUMBERS = count()


@dataclass(frozen=True)
class _Call:
    """What came of a call.

    Attributes:
        result: as JSON.
        attached: which of the tensors that came hang on autograd.
        changed, rewritten: tensors and lists of texts that were passed, by place, as they are now.
    """

    result: Any
    attached: list[int]
    changed: dict[int, Tensor]
    rewritten: dict[int, list]

    @classmethod
    def of(cls, body: Any, tensors: Sequence[Tensor], arguments: int) -> "_Call":
        """Read it from a reply.

        Raises:
            ProtocolError: it is not of that form.
        """
        if not (
            isinstance(body, dict) and isinstance(body.get("attached"), list) and isinstance(body.get("changed"), list)
        ):
            raise ProtocolError("no result of a call")
        attached = body["attached"]
        if not all(is_place(one, len(tensors)) and tensors[one].is_floating_point() for one in attached):
            raise ProtocolError("a gradient for what has none")
        changed = {place: unpack(node, tensors) for place, node in _pairs(body["changed"], arguments)}
        rewritten = {place: unpack(node, tensors) for place, node in _pairs(body.get("rewritten"), _LISTS)}
        if not all(isinstance(one, Tensor) for one in changed.values()):
            raise ProtocolError("an argument that is no tensor any more")
        if not all(isinstance(one, list) for one in rewritten.values()):
            raise ProtocolError("an argument that is no list any more")
        return cls(body.get("result"), list(dict.fromkeys(attached)), changed, rewritten)


def _pairs(said: Any, length: int) -> list[tuple[int, Any]]:
    """Pairs of a place below a length and of something."""
    pairs = said if isinstance(said, list) else []
    return [
        (pair[0], pair[1]) for pair in pairs if isinstance(pair, list) and len(pair) == 2 and is_place(pair[0], length)
    ]


def _gradients(body: Any, tensors: Sequence[Tensor], wanted: int) -> list[Tensor | None]:
    found = unpack(body, tensors)
    if not (
        isinstance(found, list)
        and len(found) == wanted
        and all(one is None or isinstance(one, Tensor) for one in found)
    ):
        raise ProtocolError("no gradients")
    return found


def _overwrite(tensor: Tensor, now: Tensor) -> None:
    """Make a tensor what the answer made of its copy."""
    with torch.no_grad():
        if now.shape == tensor.shape and now.dtype == tensor.dtype:
            tensor.copy_(now)
        else:
            tensor.data = now


class _Remote(torch.autograd.Function):
    """Results of a call that has been made, hung on its inputs; gradients come from the sandbox."""

    @staticmethod
    def forward(ctx: Any, backward: Callable, results: list[Tensor], *sources: Tensor) -> tuple[Tensor, ...]:
        ctx.ask, ctx.shapes = backward, [(one.shape, one.dtype) for one in sources]
        return tuple(results)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *weights: Tensor) -> tuple[Tensor | None, ...]:
        found = ctx.ask(weights)
        for gradient, (shape, dtype) in zip(found, ctx.shapes, strict=True):
            if gradient is not None and (gradient.shape != shape or gradient.dtype != dtype):
                raise AnswerError("error", "the gradient has another shape than its input")
        return None, None, *found
