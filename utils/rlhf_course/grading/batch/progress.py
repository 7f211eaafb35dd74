"""Show how far grading is: as a bar on a terminal, or as lines in a log that tell what happened."""

import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.submissions.parse_submission import printable
from rlhf_course.grading.submissions.submission import Submission

_LINE_INTERVAL = 30
_TENTHS = 10
_NOT_JUDGED = "not judged: "


class GradingProgress(Protocol):
    """Is called as grading goes on; a bar, or lines in a log."""

    done: int

    def start(self, settings: str) -> None:
        """Grading starts, with settings in words."""

    def read(self, submission: Submission) -> None:
        """A submission was read."""

    def judged(self, submission: Submission, result: SubmissionResult) -> None:
        """A submission has its result."""

    def wait(self) -> None:
        """Some time has passed."""

    def end(self) -> None:
        """All submissions have their results."""


class LogLines:
    """Writes lines: when and where grading starts, how far it is, each warning, and the totals.

    Args:
        total: The number of submissions.
        write: Writes a line.
        warn: Writes a line about a problem; by default `write`.
        clock: Returns seconds that only increase.
    """

    def __init__(
        self,
        total: int,
        write: Callable[[str], None],
        warn: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done, self._read = 0, 0
        self._total, self._write, self._warn, self._clock = total, write, warn or write, clock
        self._start = self._last_line = clock()
        self._warned, self._failed = 0, 0

    def start(self, settings: str) -> None:
        """Write the time, the machine and the settings."""
        machine = f"{platform.node()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        self._line(f"{datetime.now():%Y-%m-%d} grading {_count(self._total, 'submission')} on {machine}; {settings}")
        self._line("starting the judges: sandboxes and torch take some seconds")

    def read(self, submission: Submission) -> None:
        """Count a submission."""
        self._read += 1
        self.wait()

    def wait(self) -> None:
        """Write how far grading is, if no line was written for some time."""
        if self._clock() - self._last_line >= _LINE_INTERVAL:
            self._progress()

    def judged(self, submission: Submission, result: SubmissionResult) -> None:
        """Write the warnings of a submission; and how far grading is, at each tenth or after some time."""
        self.done += 1
        self._warned += bool(result.warnings)
        self._failed += any(warning.startswith(_NOT_JUDGED) for warning in result.warnings)
        for warning in result.warnings:
            self._warn(f"{_now()} {printable(f'{result.name}: {warning}')}")
        is_tenth = self.done * _TENTHS // self._total != (self.done - 1) * _TENTHS // self._total
        if is_tenth or self._clock() - self._last_line >= _LINE_INTERVAL:
            self._progress()

    def end(self) -> None:
        """Write the totals."""
        failed = f", {self._failed} not judged" if self._failed else ""
        seconds = self._clock() - self._start
        self._line(
            f"finished: {self.done} of {_count(self._total, 'submission')} in {_duration(seconds)}; "
            f"{self._warned} with warnings{failed}"
        )

    def _progress(self) -> None:
        left = ""
        if 0 < self.done < self._total:
            seconds = (self._clock() - self._start) / self.done * (self._total - self.done)
            left = f", about {_duration(seconds)} left"
        self._line(f"read {self._read} of {self._total}, judged {self.done} of {self._total}{left}")

    def _line(self, text: str) -> None:
        self._last_line = self._clock()
        self._write(f"{_now()} {text}")


class TerminalBar:
    """Shows a bar that disappears at the end."""

    def __init__(self, total: int, console: Console) -> None:
        self.done, self._read, self._total = 0, 0, total
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=console, transient=True)
        self._bar = self.progress.add_task("starting", total=total)

    def start(self, settings: str) -> None:
        """Show that the judges start."""
        self._show("starting the judges")

    def read(self, submission: Submission) -> None:
        """Show how many submissions are read."""
        self._read += 1
        self._show(f"reading {self._read} of {self._total}" if not self.done else self._judging())

    def judged(self, submission: Submission, result: SubmissionResult) -> None:
        """Show how many submissions are judged."""
        self.done += 1
        self.progress.advance(self._bar)
        self._show(self._judging())

    def wait(self) -> None:
        """Do nothing: the bar is up to date."""

    def end(self) -> None:
        """Do nothing: the bar disappears, and a table follows."""

    def _judging(self) -> str:
        return f"judging {self.done} of {self._total}"

    def _show(self, text: str) -> None:
        self.progress.update(self._bar, description=text)


def show_progress(console: Console, total: int) -> tuple[GradingProgress, AbstractContextManager[object]]:
    """Return what shows the progress on a console, and a context in which it is shown."""
    if console.is_terminal:
        bar = TerminalBar(total, console)
        return bar, bar.progress

    def write(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    return LogLines(total, write), nullcontext()


def _now() -> str:
    return f"{datetime.now():%H:%M:%S}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    """Return a time in words, rounded to minutes, or to seconds if it is short."""
    if seconds < 100:
        return _count(round(seconds), "second")
    minutes = round(seconds / 60)
    return _count(minutes, "minute") if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
