"""A limited process returns results, and whatever goes wrong in it becomes an error of the one call."""

import pytest

from rlhf_course.grading.submissions.limited_process import LimitedProcess, ReadingFailed, ReadingLimits

# Backtracking that needs longer than this machine will exist, in one call that Python cannot interrupt.
BURN = ("re:match", "(a+)+$", "a" * 60 + "b")


@pytest.fixture
def process():
    with LimitedProcess(ReadingLimits(cpu_seconds=1, memory=200, deadline=60, reply=1)) as process:
        yield process


def assert_still_works(process: LimitedProcess) -> None:
    assert process.call("operator:add", 1, 2) == 3


def test_results_are_plain_data_and_one_process_serves_many_calls(process):
    numbers = {process.call("os:getpid") for _ in range(3)}
    assert len(numbers) == 1
    assert process.call("operator:add", "é\ud800", "\0") == "é\ud800\0"
    assert process.call("builtins:sorted", [3, 1, 2]) == [1, 2, 3]


def test_output_of_a_call_is_no_reply(process):
    assert process.call("builtins:print", "x" * 100_000) is None
    assert_still_works(process)


def test_a_call_that_takes_too_long_is_ended():
    message = r"took longer than 0\.2 seconds to read"
    with LimitedProcess(ReadingLimits(deadline=0.2)) as process, pytest.raises(ReadingFailed, match=message):
        process.call("time:sleep", 3600)


def test_a_call_that_burns_processor_time_is_ended(process):
    with pytest.raises(ReadingFailed, match="takes more than 1 seconds of processor time to read"):
        process.call(*BURN)
    assert_still_works(process)


def test_the_processor_time_of_earlier_calls_does_not_count(process):
    for _ in range(4):
        process.call("builtins:sum", list(range(300_000)))
    used = process.call("time:process_time")
    with pytest.raises(ReadingFailed, match="processor time"):
        process.call(*BURN)
    assert process.call("time:process_time") < used + 1  # a new process


@pytest.mark.parametrize(
    "call", [("operator:mul", "x", 2 * 10**9), ("operator:mul", [0], 10**9), ("re:compile", "(" * 3_000_000)]
)
def test_a_call_that_needs_too_much_memory_or_nesting_is_ended(process, call):
    with pytest.raises(ReadingFailed, match=r"needs more than 200 MB of memory to read|is damaged"):
        process.call(*call)
    assert_still_works(process)


@pytest.mark.parametrize("call", [("os:_exit", 0), ("os:_exit", 7), ("os:abort",), ("os:close", 0), ("sys:exit", 1)])
def test_a_call_that_ends_the_process_fails_alone(process, call):
    if call[0] == "os:close":
        process.call(*call)
        with pytest.raises(ReadingFailed, match="ended the process"):
            process.call("operator:add", 1, 2)
    else:
        with pytest.raises(ReadingFailed, match="ended the process that read it"):
            process.call(*call)
    assert_still_works(process)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (("builtins:int", "x"), "ValueError"),
        (("builtins:object",), "TypeError"),
        (("codecs:lookup", "no-such"), "LookupError"),
        (("operator:truediv", 1, 0), "ZeroDivisionError"),
        (("codecs:decode", "x", "undefined"), "Error"),
        (("no_such_module:f",), "ModuleNotFoundError"),
    ],
)
def test_an_exception_is_named_by_its_class_only(process, call, name):
    with pytest.raises(ReadingFailed, match=f"is damaged: \\w*{name}$"):
        process.call(*call)
    assert_still_works(process)


def test_a_reply_that_is_too_large_is_not_read(process):
    with pytest.raises(ReadingFailed, match="holds more than 1 MB"):
        process.call("operator:mul", "x", 2_000_000)
    assert_still_works(process)


def test_at_its_end_no_process_is_left():
    with LimitedProcess() as process:
        process.call("os:getpid")
        child = process._process
    assert child is not None and child.poll() is not None
