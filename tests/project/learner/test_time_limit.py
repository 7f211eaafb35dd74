"""An answer that does not end, and other errors that end in a sentence."""

import contextlib
import io
import signal
import threading
import time

import pytest
from learners import stub_text

from rlhf_course import check
from rlhf_course.course import DEFAULT_PART
from rlhf_course.notebook.time_limit import TimeLimitExceeded, time_limit
from rlhf_course.stubs import CODE_STUB

NAME = "compute_advantages"


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setenv("RLHF_COURSE_CHECK_SECONDS", "0.3")


@pytest.mark.parametrize(
    "endless",
    [
        "while True: pass",
        "import time; time.sleep(1000)",
        "while True:\n        try: 1 / 0\n        except Exception: pass",
    ],
    ids=["loop", "sleep", "caught"],
)
def test_a_check_of_an_endless_answer_ends_with_its_line(workspace, endless):
    text = stub_text(NAME).replace(CODE_STUB, endless)
    (workspace / DEFAULT_PART.name / f"{NAME}.py").write_text(text)
    handler = signal.getsignal(signal.SIGINT)
    result = check(NAME)
    assert result.status == "error" and "no result after 0.3 seconds" in result.lines[0]
    assert any(line.startswith("at: ") and f"{NAME}.py" in line for line in result.lines)
    assert any(line.startswith("likely: a loop that does not end") for line in result.lines)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_file_that_does_not_end_when_it_is_imported_is_stopped_too(workspace):
    (workspace / DEFAULT_PART.name / f"{NAME}.py").write_text("while True:\n    pass\n")
    assert "no result after" in check(NAME).lines[0]


def test_an_endless_cell_is_saved_and_stopped(workspace, start_kernel, monkeypatch):
    kernel = start_kernel()
    shown = kernel.exercise(NAME, f"while True:\n    pass\n{stub_text(NAME)}")
    assert shown.error is None and "saved" in shown.output and "no result after" in shown.output
    assert f"line 2 of part1_rlhf/{NAME}.py (line 3 of the cell)" in shown.output or "line 1 of" in shown.output


def test_the_import_of_a_library_is_left_to_finish(workspace, tmp_path, monkeypatch):
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "slow_library.py").write_text("import time\n\ntime.sleep(0.2)\ntime.sleep(0.4)\n")
    monkeypatch.syspath_prepend(str(library))
    text = f"import slow_library\n{stub_text(NAME)}".replace(CODE_STUB, "return values")
    (workspace / DEFAULT_PART.name / f"{NAME}.py").write_text(text)
    assert "no result after" not in check(NAME).lines[0]


def test_the_stop_button_still_interrupts(workspace):
    timer = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), time_limit(100):
        time.sleep(50)


@pytest.mark.parametrize("seconds", [1e-6, 1e-5, 1e-4, 1e-3])
def test_an_interrupt_at_the_edge_of_a_block_reaches_nobody_else(seconds):
    handler, reached = signal.getsignal(signal.SIGINT), []
    signal.signal(signal.SIGINT, lambda *_: reached.append("another handler"))
    try:
        before = signal.getsignal(signal.SIGINT)
        for _ in range(300):
            with contextlib.suppress(TimeLimitExceeded), time_limit(seconds):
                sum(range(int(seconds * 1e7)))
            assert signal.getsignal(signal.SIGINT) is before
        time.sleep(0.01)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert not reached and not signal.sigpending()


def test_in_another_thread_there_is_no_limit():
    seen = []

    def run():
        with time_limit(0.01):
            time.sleep(0.05)
            seen.append("end")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == ["end"]


def test_code_that_catches_every_exception_gets_advice_to_restart_whatever_collects_its_prints(capfd, monkeypatch):
    monkeypatch.setattr("rlhf_course.notebook.time_limit._REPEAT_SECONDS", 0.01)
    printed = io.StringIO()
    with pytest.raises(TimeLimitExceeded), time_limit(0.01), contextlib.redirect_stdout(printed):
        caught = 0
        while caught < 8:
            try:
                time.sleep(10)
            except BaseException:
                caught += 1
        time.sleep(10)
    assert "Restart the kernel" in capfd.readouterr().out and not printed.getvalue()


CATCHING = """
    try:
        time.sleep(1000)
    except BaseException:
        pass
    return values
"""


@pytest.mark.parametrize(
    "handler",
    ["", "signal.signal(signal.SIGINT, signal.default_int_handler)", "signal.signal(signal.SIGINT, lambda *_: 1 / 0)"],
    ids=["the course's handler", "Python's handler", "a handler of its own"],
)
def test_an_answer_that_catches_the_interrupt_is_stopped_and_not_called_again(workspace, handler):
    calls = f"import signal, time\n    open('calls', 'a').write('.')\n    {handler}{CATCHING}"
    text = stub_text(NAME).replace(CODE_STUB, calls)
    (workspace / DEFAULT_PART.name / f"{NAME}.py").write_text(text)
    before = signal.getsignal(signal.SIGINT)
    result = check(NAME)
    assert result.status == "error" and "stopped, since there was no result after 0.3 seconds" in result.lines[0]
    assert (workspace / "calls").read_text() == "."
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("handler", ["default_int_handler", "SIG_IGN", "SIG_DFL"])
def test_an_answer_that_sets_another_handler_of_the_interrupt_ran_out_of_time(workspace, handler):
    slow = f"import signal, time\n    signal.signal(signal.SIGINT, signal.{handler})\n    time.sleep(0.6)\n    return 1"
    (workspace / DEFAULT_PART.name / f"{NAME}.py").write_text(stub_text(NAME).replace(CODE_STUB, slow))
    result = check(NAME)
    assert "stopped, since there was no result after" in result.lines[0]
    if handler == "default_int_handler":
        assert any(line.startswith("at: ") and f"{NAME}.py" in line for line in result.lines)


def test_a_file_that_catches_the_interrupt_of_its_import_is_stopped_too(workspace):
    text = "import time\ntry:\n    time.sleep(1000)\nexcept BaseException:\n    pass\n"
    (workspace / DEFAULT_PART.name / f"{NAME}.py").write_text(
        text + stub_text(NAME).replace(CODE_STUB, "return values")
    )
    result = check(NAME)
    assert "stopped, since there was no result after" in result.lines[0]
    assert any("time.sleep(1000)" in line for line in result.lines)
