"""`check`: what an answer does, compared with what it should do, in a few lines."""

import contextlib
import importlib
import inspect
import io
import linecache
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from rlhf_course.course import BY_NAME, EXERCISES, Exercise
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import PACKAGE
from rlhf_course.notebook import workspace
from rlhf_course.notebook.messages import join_names, show_message
from rlhf_course.notebook.progress_file import changed_state, part, read_state
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import is_stub

NOT_ATTEMPTED, ERROR, WRONG, PASSED = "not attempted", "error", "wrong", "passed"
_WIDEST = 300


@dataclass(frozen=True)
class Result:
    """What a check found.

    Attributes:
        exercise: the exercise's name.
        status: "not attempted", "error", "wrong" or "passed".
        mistake: the name of the known mistake that the answer behaves like, or None.
        lines: the account that was printed.
    """

    exercise: str
    status: str
    mistake: str | None = None
    lines: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.status == PASSED

    def __repr__(self) -> str:
        mistake = f", likely mistake: {self.mistake}" if self.mistake else ""
        return f"<check of {self.exercise}: {self.status}{mistake}>"

    def _ipython_display_(self) -> None:
        """Nothing in a notebook, where the account is on the screen already; a terminal shows the repr."""
        shell = sys.modules["IPython"].get_ipython()
        if type(shell).__name__ != "ZMQInteractiveShell":
            raise NotImplementedError


def check(answer: Any, exercise: str | None = None) -> Result:
    """Try an answer on the visible cases, and print what came of it.

    Args:
        answer: the function or class, or the exercise's name, which stands for what the learner's file defines.
        exercise: the exercise that is answered, where the answer has another name.

    Raises:
        AssertionError: the check did not pass, and nbgrader runs it: there, a cell that raises nothing has full marks.
    """
    try:
        one = workspace.exercise_of(exercise or answer)
    except CourseError as error:
        show_message(f"check: {error}")
        return Result(str(answer), ERROR, lines=[str(error)])
    result = _judged(one, answer, by_name=isinstance(answer, str))
    show_message(*result.lines, status=result.status)
    if not result and os.environ.get("NBGRADER_EXECUTION"):
        raise AssertionError("\n".join(result.lines))
    return result


def passed(*names: str) -> bool:
    """Whether exercises pass, so that a cell which needs them can go on; what is missing is said.

    A file that has not changed since it passed is not tried again.
    """
    missing = []
    for name in names:
        try:
            exercise = workspace.exercise_of(name)
            record = part(read_state(workspace.find_workspace()), "exercises", exercise.name)
            known = record.get("status") == PASSED and record.get("text") == workspace.digest(
                workspace.read_answer(exercise)
            )
            if not known and not judge_file(exercise):
                missing.append(exercise.name)
        except CourseError as error:
            show_message(f"passed: {error}")
            return False
    if missing:
        show_message(f"This cell waits for {join_names(missing)}: run it again when the check has passed.")
    return not missing


def judge_file(exercise: Exercise) -> Result:
    """The result for what the learner's file defines, without printing."""
    return _judged(exercise, exercise.name, by_name=True)


def check_all(exercises: Iterable[Exercise]) -> dict[str, str]:
    """The status of what the learner's files define for several exercises, by name; each file is judged once."""
    results: dict[str, Result] = {}

    def known(exercise: Exercise) -> Result:
        if exercise.name not in results:
            results[exercise.name] = _judged(exercise, exercise.name, by_name=True, needs=known)
        return results[exercise.name]

    return {exercise.name: known(exercise).status for exercise in exercises}


def _judged(
    exercise: Exercise, answer: Any, by_name: bool, needs: Callable[[Exercise], Result] | None = None
) -> Result:
    if busy := workspace.busy():
        return Result(exercise.name, ERROR, lines=[f"{exercise.name} is not checked now: {busy}"])
    note: list[str] = []
    try:
        if by_name or _is_from_the_desk(exercise, answer):
            text = workspace.read_answer(exercise)
            if exercise.name in workspace.unsaved:
                note = [f"(The cell was not saved when it last ran: what {PACKAGE}/{exercise.file} holds is checked.)"]
            elif not by_name and _text_run(answer) not in (None, text):
                note = [f"({PACKAGE}/{exercise.file} has changed since the cell ran: what it holds now is checked.)"]
            if is_stub(exercise, text):
                lines = _not_attempted(exercise)
                lines[1:1] = note
                return _finished(exercise, Result(exercise.name, NOT_ATTEMPTED, lines=lines))
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                answer = workspace.load_answer(exercise)
        if exercise.uses:
            workspace.load_all()
        result = judge(exercise, answer, needs or judge_file)
    except BaseException as error:  # whatever a learner raises, and the stop button
        result = Result(exercise.name, ERROR, lines=error_lines(exercise, error, None))
    result.lines[1:1] = note
    return _finished(exercise, result)


def judge(exercise: Exercise, answer: Any, needs: Callable[[Exercise], Result] = judge_file) -> Result:
    """The result for an answer; nothing is printed or recorded.

    Args:
        needs: how the exercises that this one uses are judged.
    """
    module = checks_of(exercise)
    if missing := _unmet(exercise, needs):
        return missing_needs(exercise, missing)
    with module.CHECK.cached_observations():
        for test in tests_of(module):
            try:
                test(answer)
            except AssertionError as mismatch:
                if not hasattr(mismatch, "case"):
                    raise
                return _rejected(exercise, module, answer, mismatch)
    return Result(exercise.name, PASSED, lines=_passed(exercise, len(tests_of(module))))


def checks_of(exercise: Exercise) -> ModuleType:
    """The module that holds an exercise's cases, tests and hints."""
    return importlib.import_module(f"rlhf_course.checks.{exercise.part}.{exercise.module}")


def tests_of(module: Any) -> list[Callable[[Any], None]]:
    """The tests of a module of checks, in the order in which they stand."""
    return [test for name, test in vars(module).items() if name.startswith("test_")]


def _unmet(exercise: Exercise, needs: Callable[[Exercise], Result]) -> list[Result]:
    names = [name for name in exercise.uses if name not in workspace.substituted()]
    return [result for name in names if not (result := needs(BY_NAME[name]))]


def missing_needs(exercise: Exercise, missing: list[Result]) -> Result:
    """The result for an answer that cannot be tried, because exercises that it uses do not pass."""
    lines = [f"{exercise.name}: not tried yet. It uses exercises that have to pass first:"]
    lines += [f"  {result.exercise}: {result.status}" for result in missing]
    return Result(exercise.name, NOT_ATTEMPTED, lines=lines)


# Accounts.


def _rejected(exercise: Exercise, module: Any, answer: Any, mismatch: Any) -> Result:
    error = mismatch.error
    if isinstance(error, NotImplementedError):
        where = _where(exercise, error, answer)
        at = f" ({where})" if where else ""
        lines = (
            _not_attempted(exercise)
            if not where
            else [f"{exercise.name}: not attempted. Something is still to be written{at}."]
        )
        return Result(exercise.name, NOT_ATTEMPTED, lines=lines)
    diagnosis = module.CHECK.diagnose(answer)
    if error is not None:
        lines = error_lines(exercise, error, answer, mismatch.case.description)
    else:
        lines = [f"{exercise.name}: wrong.", *map(shortened, mismatch.lines())]
    likely = diagnosis.description if diagnosis is not None else _commonplace(mismatch)
    if likely:
        lines.append(f"likely: {likely}")
    if module.CHECK.output:
        count = len(module.CHECK.output.splitlines())
        lines.append(
            f"(Your code printed {count} line{'s' if count > 1 else ''} while it was tried; they are not shown.)"
        )
    if not likely:
        lines.append(f"A hint: hint({exercise.name!r})")
    name = diagnosis.name if diagnosis else None
    return Result(exercise.name, ERROR if error is not None else WRONG, name, lines)


_RETURNED = {
    "NoneType": "Nothing is returned; is there a `return` at the end?",
    "coroutine": "`async def` makes something to be awaited; write `def`.",
    "generator": "`yield` makes a generator; write `return`.",
    "ndarray": "That is NumPy's; return a tensor of PyTorch, or no gradient can flow.",
    "float64": "That is NumPy's; return a tensor of PyTorch, or no gradient can flow.",
    "float32": "That is NumPy's; return a tensor of PyTorch, or no gradient can flow.",
}


def _commonplace(mismatch: Any) -> str | None:
    """The likely reason of a slip that can be made in any exercise."""
    if isinstance(mismatch.error, NameError) and (name := mismatch.error.name):
        return (
            f"{name} is known in the notebook at most: an exercise's cell is a file of its own, with its own imports."
        )
    if mismatch.key.startswith("type") and isinstance(mismatch.got, str):
        return _RETURNED.get(mismatch.got)
    return None


def _not_attempted(exercise: Exercise) -> list[str]:
    lines = [f"{exercise.name}: not attempted."]
    elsewhere = getattr(sys.modules.get("__main__"), exercise.name, None)
    if getattr(elsewhere, "__module__", None) == "__main__":
        lines.append(
            f"This notebook defines one that was not saved: its cell has to begin with %%exercise {exercise.name}"
        )
    return [*lines, f"Write it in the cell above, or in {PACKAGE}/{exercise.file}. A hint: hint({exercise.name!r})"]


def error_lines(exercise: Exercise, error: BaseException, answer: Any, says: str | None = None) -> list[str]:
    """An exception in a few lines, with the line of the learner's own that it passed through last."""
    lines = [f"{exercise.name}: error."]
    if says:
        lines.append(f"input:  {shortened(says)}")
    lines.append(shortened(f"raised: {type(error).__name__}{_message(error)}"))
    if where := _where(exercise, error, answer):
        lines.append(shortened(f"at:     {where}"))
    return lines


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return ", it was stopped while it ran"
    try:
        message = str(error).strip().splitlines()
    except Exception as broken:
        return f", whose message raises {type(broken).__name__}"
    return f": {' '.join(message[:2])}" if message else ""


def _where(exercise: Exercise, error: BaseException, answer: Any) -> str | None:
    """The last line of the learner's own that an exception passed through."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"line {error.lineno} of {PACKAGE}/{exercise.file}: {(error.text or '').strip()}"
    own = {_source_file(answer)}
    with contextlib.suppress(CourseError):
        own.add(str(workspace.file_of(exercise)))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
    if not frames:
        return None
    frame = frames[-1]
    line = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
    return f"line {frame.lineno} of {_display_name(exercise, frame.filename)}: {line}"


def _display_name(exercise: Exercise, filename: str) -> str:
    return f"{PACKAGE}/{exercise.file}" if filename.endswith(f"{PACKAGE}/{exercise.file}") else "your code"


def _source_file(answer: Any) -> str | None:
    try:
        return inspect.getsourcefile(inspect.unwrap(answer))
    except (TypeError, ValueError):
        return None


def _passed(exercise: Exercise, count: int) -> list[str]:
    lines = [f"{exercise.name}: passed ({count} test{'s' if count > 1 else ''})."]
    if (SOLUTIONS / PACKAGE / exercise.file).is_file():
        lines.append(f"The reference answer, to compare: solutions/{PACKAGE}/{exercise.file}")
    return lines


def shortened(line: str) -> str:
    """A line, cut where it is very long."""
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"


# The record.


def _finished(exercise: Exercise, result: Result) -> Result:
    """Record a result at the learner's desk, and say what comes next after one that passed."""
    try:
        home = workspace.find_workspace()
    except CourseError:
        return result
    with changed_state(home) as state:
        record = part(state, "exercises", exercise.name)
        record["status"] = result.status
        record["text"] = workspace.digest(workspace.read_answer(exercise))
    if result.status == PASSED:
        result.lines.extend(_what_comes_next(exercise, read_state(home)))
    return result


def _what_comes_next(exercise: Exercise, state: dict[str, Any]) -> list[str]:
    hints = len(checks_of(exercise).HINTS)
    unread = hints - part(state, "hints").get(exercise.name, 0)
    lines = [f"{unread} hint{'s' if unread > 1 else ''} not opened: hint({exercise.name!r})"] if unread > 0 else []
    following = EXERCISES[EXERCISES.index(exercise) + 1 :]
    to_do = [one for one in following if part(state, "exercises", one.name).get("status") != PASSED]
    if to_do:
        place = "" if to_do[0].notebook == exercise.notebook else f", in {to_do[0].notebook}.ipynb"
        return [*lines, f"Next: {to_do[0].name}{place}"]
    return [*lines, "All exercises after this one pass. See progress()."]


def _is_from_the_desk(exercise: Exercise, answer: Any) -> bool:
    return getattr(answer, "__module__", None) == f"{PACKAGE}.{exercise.module}"


def _text_run(answer: Any) -> str | None:
    """The text of the file that an answer's module was made from."""
    return getattr(sys.modules.get(answer.__module__), "__text__", (None, None))[1]
