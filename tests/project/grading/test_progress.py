"""The progress of grading is a bar on a terminal, and few lines in a log, which tell what happened."""

import io

import pytest
from fake_judge import FakeJudge
from rich.console import Console

from rlhf_course.grading.batch.pool import ungraded_result
from rlhf_course.grading.batch.progress import LogLines, show_progress
from rlhf_course.grading.submissions.submission import Submission

ADA = Submission("ada", {})
QUIET = FakeJudge().grade(ADA).model_copy(update={"warnings": []})


class Log:
    """A log of 1000 submissions under a clock that the test sets."""

    def __init__(self, total: int = 1000) -> None:
        self.now, self.lines = 0.0, []
        self.progress = LogLines(total, self.lines.append, clock=lambda: self.now)
        self.progress.start("isolation uid")

    def judge(self, count: int, seconds: float) -> list[str]:
        """Judge submissions that take some seconds each, and return the lines without their times."""
        before = len(self.lines)
        for _ in range(count):
            self.now += seconds
            self.progress.read(ADA)
            self.progress.judged(ADA, QUIET)
        return [line.partition(" ")[2] for line in self.lines[before:]]


def test_the_first_lines_come_before_anything_is_read():
    first, second = Log().lines
    assert (
        "grading 1000 submissions on" in first and first.endswith("isolation uid") and "starting the judges" in second
    )


def test_a_fast_class_gives_a_line_at_each_tenth_with_the_time_left():
    lines = Log().judge(1000, 0.1)
    assert len(lines) == 10
    assert lines[0] == "read 100 of 1000, judged 100 of 1000, about 90 seconds left"
    assert lines[-1] == "read 1000 of 1000, judged 1000 of 1000"


def test_a_slow_class_gives_a_line_after_thirty_seconds():
    lines = Log().judge(50, 12)
    assert len(lines) == 16
    assert lines[0] == "read 3 of 1000, judged 2 of 1000, about 4 h 59 min left"


def test_while_nothing_ends_there_is_a_line_every_thirty_seconds():
    log = Log()
    log.progress.read(ADA)
    for _ in range(90):
        log.now += 1
        log.progress.wait()
    assert [line.partition(" ")[2] for line in log.lines[2:]] == ["read 1 of 1000, judged 0 of 1000"] * 3


def test_warnings_and_failures_are_lines_with_the_submission_and_the_totals_count_them():
    log = Log(2)
    log.progress.judged(ADA, FakeJudge().grade(ADA).model_copy(update={"warnings": ["late\x1b[31m"]}))
    log.progress.judged(ADA, ungraded_result(ADA, "the judge died"))
    log.progress.end()
    text = "\n".join(log.lines)
    assert "ada: late\N{REPLACEMENT CHARACTER}[31m" in text and "ada: not judged: the judge died" in text
    assert log.lines[-1].endswith("finished: 2 of 2 submissions in 0 seconds; 2 with warnings, 1 not judged")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_has_a_bar_and_a_log_has_lines(is_terminal):
    file = io.StringIO()
    progress, shown = show_progress(Console(file=file, force_terminal=is_terminal, width=90), 2)
    with shown:
        progress.start("isolation uid")
        for _ in range(2):
            progress.read(ADA)
            progress.judged(ADA, QUIET)
        progress.end()
    assert progress.done == 2
    assert ("\x1b" in file.getvalue()) == is_terminal
    assert ("judging 2 of 2" if is_terminal else "judged 2 of 2") in file.getvalue()
