"""Send the calls of one answer to its sandbox, and turn exceptions, deaths and timeouts into `AnswerError`.

A reply of a sandbox is not trusted: after a reply of an unexpected form the sandbox is terminated, and the report of an
exception becomes part of a message only after each of its words has been checked.
"""

import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from torch import Tensor

from rlhf_course.course import BY_NAME, Exercise, part_of
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox.answers import NOT_WRITTEN_MESSAGE, AnswerError
from rlhf_course.grading.sandbox.protocol import Caps, ConnectionClosed, DeadlineExceeded, ProtocolError, receive, send
from rlhf_course.grading.sandbox.serialization import OTHER, known_class_name, shown_class_name
from rlhf_course.grading.sandbox.zygote_client import Sandbox, Zygote
from rlhf_course.paths import SOLUTIONS

# After this many deaths and timeouts an answer gets no further sandbox.
_MAX_DEATHS = 2
_MAX_EXCEPTION_NAMES = 16
_SIGNALS = {
    4: "crashed (illegal instruction)",
    6: "crashed (abort)",
    7: "crashed (bus error)",
    8: "crashed (arithmetic error)",
    11: "crashed (segmentation fault)",
    24: "used up its processor time",
    25: "wrote too large a file",
}


class Session:
    """The calls of one answer in its sandbox.

    If the sandbox dies, a second one is started; if that dies too, all further calls raise the same error.

    Args:
        zygote: The zygote, from which sandboxes are forked.
        exercise: The name of the exercise.
        files: The texts of the submission's files, by path.
        limits: The resource limits of the answer.
        deadline: The time, as `time.monotonic()`, after which no answer of the submission is called.
    """

    def __init__(
        self, zygote: Zygote, exercise: str, files: Mapping[str, str], limits: ResourceLimits, deadline: float
    ) -> None:
        self.exercise, self.output_bytes = exercise, limits.output_bytes
        self.sandbox: Sandbox | None = None
        self._zygote, self._limits, self._submission_deadline = zygote, limits, deadline
        self._own = own_files(exercise, files)
        self._files = {**reference_files(exercise), **self._own}
        self._seconds_left = limits.exercise_timeout
        self._deaths = 0
        self._timeout_message = ""
        self._final_error: AnswerError | None = None

    def open(self) -> Sandbox:
        """Return a sandbox with the answer loaded.

        Raises:
            AnswerError: The answer cannot be imported, or has died too often.
        """
        if self._final_error is not None:
            raise self._final_error
        if self.sandbox is None:
            self.sandbox = self._zygote.sandbox()
            arguments = {"exercise": self.exercise, "files": self._files, "own": list(self._own)}
            try:
                self._exchange(self.sandbox, "open", arguments, [])
            except AnswerError as error:
                self._final_error = error
                self.terminate()
                raise
        return self.sandbox

    def request(
        self, operation: str, arguments: Mapping[str, Any], tensors: Sequence[Tensor] = ()
    ) -> tuple[Any, list[Tensor]]:
        """Let the worker in the sandbox execute an operation.

        Args:
            operation: The name of a method of `Worker`.
            arguments: Its keyword arguments, as JSON.
            tensors: Its tensors.

        Returns:
            The body and the tensors that the worker sent.

        Raises:
            AnswerError: The answer raised an exception, died, took too long, or sent an invalid reply.
        """
        return self._exchange(self.open(), operation, arguments, tensors)

    def terminate(self) -> None:
        """Terminate the sandbox, if there is one."""
        if self.sandbox is not None:
            sandbox, self.sandbox = self.sandbox, None
            sandbox.terminate()

    def _exchange(
        self, sandbox: Sandbox, operation: str, arguments: Mapping[str, Any], tensors: Sequence[Tensor]
    ) -> tuple[Any, list[Tensor]]:
        start = time.monotonic()
        seconds, self._timeout_message = self._next_limit(start)
        if seconds <= 0:
            self._final_error = AnswerError("timeout", self._timeout_message)
            raise self._final_error
        deadline = start + seconds
        try:
            send(sandbox.connection, [operation, arguments], tensors, deadline)
            reply, results = receive(sandbox.connection, Caps(array_bytes=self.output_bytes), deadline)
            return self._reply_body(reply), results
        except (DeadlineExceeded, ConnectionClosed, ProtocolError) as error:
            raise self.death(error) from error
        finally:
            self._seconds_left -= time.monotonic() - start

    def _next_limit(self, now: float) -> tuple[float, str]:
        """Return the seconds that the next exchange may take, and what to say if it takes longer."""
        return min(
            (self._limits.timeout, f"no result within {self._limits.timeout:g} seconds"),
            (self._seconds_left, f"all calls together took over {self._limits.exercise_timeout:g} seconds"),
            (self._submission_deadline - now, submission_timeout_message(self._limits)),
        )

    def _reply_body(self, reply: Any) -> Any:
        """Return the body of a reply.

        Raises:
            AnswerError: The reply reports an exception of the answer.
            ProtocolError: The reply has an unexpected form.
        """
        if not (isinstance(reply, list) and len(reply) == 2 and reply[0] in ("done", "raised")):
            raise ProtocolError("the reply has an unknown kind")
        if reply[0] == "raised":
            raise reported_error(reply[1], BY_NAME[self.exercise], self._own)
        return reply[1]

    def death(self, cause: Exception) -> AnswerError:
        """Terminate a sandbox that cannot be used any more, and return the error that explains it to the learner.

        Args:
            cause: The exception of the exchange.
        """
        sandbox, self.sandbox = self.sandbox, None
        code = None if sandbox is None else sandbox.terminate(graceful=isinstance(cause, ConnectionClosed))
        if isinstance(cause, DeadlineExceeded):
            error = AnswerError("timeout", self._timeout_message)
        elif isinstance(cause, ConnectionClosed):
            error = AnswerError("error", _exit_message(code))
        else:
            error = AnswerError("error", f"the reply is not a valid result: {cause}")
        self._deaths += 1
        if self._deaths >= _MAX_DEATHS:
            self._final_error = error
        return error


def submission_timeout_message(limits: ResourceLimits) -> str:
    """Return the sentence about an exercise that is not judged to its end because the submission's time is over."""
    return f"all exercises of the submission together took over {limits.submission_timeout:g} seconds"


def own_files(exercise: str, files: Mapping[str, str]) -> dict[str, str]:
    """Return the submission's files that one exercise is judged with: all of its part.

    An exercise that uses others is judged without the answers to other exercises, for which it has the reference's.

    Raises:
        AnswerError: The name of a file leads out of the part's folder.
    """
    judged = BY_NAME[exercise]
    left_out = {f"{judged.part}/__init__.py", *reference_paths(exercise)}
    own = {path: text for path, text in files.items() if path.startswith(f"{judged.part}/") and path not in left_out}
    for path in own:
        if "\\" in path or "\0" in path or {"", ".", ".."} & set(path.split("/")):
            raise AnswerError("error", "a file of the submission has a name that leads out of its folder")
    return own


def reference_paths(exercise: str) -> list[str]:
    """Return the paths of the reference's files that an exercise is judged with: none unless it uses others."""
    judged = BY_NAME[exercise]
    if not judged.uses:
        return []
    others = [other for other in part_of(judged).exercises if other.name != exercise]
    others += [BY_NAME[name] for name in judged.uses if BY_NAME[name].part != judged.part]
    return [other.path for other in others]


@cache
def reference_files(exercise: str) -> dict[str, str]:
    """Return the reference's files that an exercise is judged with, by path."""
    return {path: (SOLUTIONS / path).read_text(encoding="utf-8") for path in reference_paths(exercise)}


def reported_error(report: Any, exercise: Exercise, own: Mapping[str, str]) -> AnswerError:
    """Return the error for an exception that a worker reports, of which only known class names and a line are used.

    Args:
        report: The report that `Worker` sent, which a learner's code may have forged.
        exercise: The exercise of the answer.
        own: The learner's files.
    """
    fields = report if isinstance(report, dict) else {}
    names = fields.get("names")
    names = names[:_MAX_EXCEPTION_NAMES] if isinstance(names, list) else []
    classes = tuple(known_class_name(name) for name in names) or (OTHER,)
    if fields.get("missing") is True:
        return AnswerError("missing", NOT_WRITTEN_MESSAGE, classes)
    shown = shown_class_name(classes)
    line, file = fields.get("line"), fields.get("file")
    if isinstance(file, str) and file in own and type(line) is int and 0 < line <= own[file].count("\n") + 1:
        location = f"at line {line} of {file.removeprefix(f'{exercise.part}/')}"
        return AnswerError("error", f"{shown}, {location}", classes)
    return AnswerError("error", f"{shown}, outside {exercise.file}", classes)


def _exit_message(code: int | None) -> str:
    """Return why a process has ended.

    Args:
        code: The exit code, or minus the number of the signal; None if the process had to be killed.
    """
    if code is None:
        return "the process that ran it closed its connection"
    if code >= 0:
        return f"it ended its own process (exit code {code})"
    return f"the process that ran it {_SIGNALS.get(-code, f'was ended by signal {-code}')}"
