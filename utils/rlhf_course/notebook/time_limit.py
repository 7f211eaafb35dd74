"""Interrupt a learner's code that does not end."""

import _thread
import os
import signal
import sys
import sysconfig
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import ContextVar, Token
from types import FrameType

from rlhf_course.notebook.messages import show_message
from rlhf_course.paths import PACKAGE

# The environment variable that sets another limit, in seconds.
VARIABLE = "RLHF_COURSE_CHECK_SECONDS"
_DEFAULT_SECONDS = 60.0
# The code is interrupted again and again, since it may catch the exception; after some times a message gives advice.
_REPEAT_SECONDS, _INTERRUPTS_BEFORE_ADVICE = 1.0, 5
_LIBRARIES = (str(PACKAGE), *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")))


class TimeLimitExceeded(BaseException):
    """A learner's code ran longer than its time limit; no `except Exception` of that code catches it.

    Attributes:
        seconds: The limit.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"no result after {seconds:g} seconds")


class _Limit:
    """A context that another thread interrupts in the main thread when the time is up."""

    def __init__(self, seconds: float, previous: Callable[[int, FrameType | None], object] | int) -> None:
        self.seconds, self.previous = seconds, previous
        self._caller: FrameType | None = None
        self._token: Token[_Limit | None] | None = None
        self._expired = self._postponed = False
        self._raised: TimeLimitExceeded | None = None
        self._ended = threading.Event()
        self._sending = threading.Lock()

    def __enter__(self) -> None:
        self._caller = sys._getframe(1)
        try:
            # The handler first: an interrupt that no handler of the course gets would end the program.
            signal.signal(signal.SIGINT, self.on_interrupt)
            self._token = _LIMIT.set(self)
            threading.Thread(target=self._watch, name="time limit of a check", daemon=True).start()
        except BaseException:
            self._end()
            raise

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            self.stop(error)
        finally:
            self._end()

    def _watch(self) -> None:
        wait, count = self.seconds, 0
        while not self._ended.wait(wait):
            wait, count = _REPEAT_SECONDS, 1 if self._postponed else count + 1
            self._postponed = False
            with self._sending:
                if self._ended.is_set():
                    return
                self._expired = True
                _interrupt_main_thread()
            if count == _INTERRUPTS_BEFORE_ADVICE:
                show_message(
                    "The code cannot be interrupted: it catches every exception, or waits for a library.",
                    "Restart the kernel (in the menu: Kernel, Restart Kernel). Your text is in its file.",
                    status="error",
                    file=sys.__stdout__,  # `sys.stdout` may collect what the code prints.
                )

    def on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGINT: raise an exception if the time is up; else do what would be done without a limit.

        Raises:
            TimeLimitExceeded: The time is up.
        """
        if self._ended.is_set():
            return
        if self._expired and _has_to_finish(frame, self._caller):
            self._postponed = True
        elif self._expired:
            self._raised = TimeLimitExceeded(self.seconds)
            raise self._raised
        elif callable(self.previous):
            self.previous(number, frame)

    def stop(self, error: BaseException | None = None) -> None:
        """Raise the exception again if the code caught it, or set a handler of its own and so never got it.

        Args:
            error: The exception that the code raised, if any.

        Raises:
            TimeLimitExceeded: The code was interrupted before, since the time is up.
        """
        if isinstance(error, TimeLimitExceeded):
            return
        if self._raised is None and self._expired and signal.getsignal(signal.SIGINT) != self.on_interrupt:
            self._raised = TimeLimitExceeded(self.seconds)
            self._raised.__traceback__ = error.__traceback__ if error is not None else None
        if self._raised is not None:
            raise self._raised

    def _end(self) -> None:
        """Interrupt no more, and give the previous handler back; an interrupt that is on its way has no effect."""
        self._ended.set()
        with self._sending:
            _discard_sent_interrupt()
        signal.signal(signal.SIGINT, self.previous)
        if self._token is not None:
            _LIMIT.reset(self._token)
        self._caller = self._raised = self._token = None


_LIMIT: ContextVar[_Limit | None] = ContextVar("limit", default=None)


def time_limit(seconds: float | None = None) -> AbstractContextManager[None]:
    """Return a context that raises an exception in the code inside the block if the block takes too long.

    Python interrupts the main thread alone, between two of its instructions: in another thread there is no limit, and
    a call of a library ends before it. A call that keeps Python's lock, such as `sum(itertools.count())`, lets no other
    thread run: it is not stopped, and no message says so; restart the kernel. A block inside such a block has no limit
    of its own.

    Args:
        seconds: The limit; None for that of the environment variable `RLHF_COURSE_CHECK_SECONDS`, or 60.

    Raises:
        TimeLimitExceeded: The block took longer.
    """
    previous = signal.getsignal(signal.SIGINT)
    if _LIMIT.get() or previous is None or threading.current_thread() is not threading.main_thread():
        return nullcontext()
    return _Limit(_seconds() if seconds is None else seconds, previous)


def stop_if_interrupted() -> None:
    """Raise an exception if the code inside the current block was interrupted and went on; outside a block, return.

    Raises:
        TimeLimitExceeded: The code was interrupted.
    """
    if limit := _LIMIT.get():
        limit.stop()


def _has_to_finish(frame: FrameType | None, caller: FrameType | None) -> bool:
    """Return whether what is interrupted is an import of a library, or this file, which begins or ends the block.

    Such an import is left to finish since torch, for one, cannot be imported again in the same process; and this file
    since a block that does not end gives the previous handler never back.

    Args:
        frame: The frame that is interrupted.
        caller: The frame that holds the block.
    """
    while frame is not None and frame is not caller:
        file = frame.f_code.co_filename
        is_library = file.startswith(_LIBRARIES) or "site-packages" in file
        if file == __file__ or (frame.f_code.co_name == "<module>" and is_library):
            return True
        frame = frame.f_back
    return False


def _seconds() -> float:
    with suppress(KeyError, ValueError):
        seconds = float(os.environ[VARIABLE])
        if seconds > 0:
            return seconds
    return _DEFAULT_SECONDS


def _interrupt_main_thread() -> None:
    """Send SIGINT to the main thread, which on Unix also ends a call that waits, such as `time.sleep`."""
    main = threading.main_thread().ident
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # The code set it, and the signal would end the process.
        return
    if sys.platform != "win32" and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _discard_sent_interrupt() -> None:
    """Take an interrupt that was sent to the main thread and has not arrived, so that no other handler gets it.

    Elsewhere than on Unix an interrupt arrives while it is sent.
    """
    if sys.platform == "win32":
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if signal.SIGINT in signal.sigpending():
        signal.sigwait({signal.SIGINT})
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
