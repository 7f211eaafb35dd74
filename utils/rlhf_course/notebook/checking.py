"""Define `check`, which runs an answer on the visible cases and reports the first difference in a few lines."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from rlhf_course.checks.reasons import reason_of_difference
from rlhf_course.course import BY_NAME, Exercise
from rlhf_course.errors import CourseError
from rlhf_course.notebook import workspace
from rlhf_course.notebook.error_report import (
    error_lines,
    load_error_lines,
    place_of,
    reason_of_error,
    reason_of_refusal,
    reason_of_type,
    shortened,
)
from rlhf_course.notebook.exercise_progress import (
    ERROR,
    NOT_ATTEMPTED,
    PASSED,
    WRONG,
    checks_of,
    next_step,
    read_progress,
)
from rlhf_course.notebook.hiding import hiding_files
from rlhf_course.notebook.messages import join_names, show_message
from rlhf_course.notebook.progress_file import changed_state, read_state, section
from rlhf_course.notebook.session import Session, current_session
from rlhf_course.notebook.submitted_files import as_submitted
from rlhf_course.notebook.time_limit import stop_if_interrupted, time_limit
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import is_given, is_stub

# The lines of a message that give way to the reason that the grader lacks something.
_REASON_PREFIXES = ("likely: ", "A hint: ")


@dataclass(frozen=True)
class Result:
    """The result of a check, which is true if the answer passed.

    Attributes:
        exercise: The exercise's name.
        status: "not attempted", "error", "wrong" or "passed".
        mistake: The name of the known mistake that the answer behaves like, or None.
        lines: The lines of the message to the learner.
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
        """Display nothing in a notebook, where `check` has printed the result already; a terminal shows the repr.

        Raises:
            NotImplementedError: Outside a notebook; IPython then falls back to the repr.
        """
        shell = sys.modules["IPython"].get_ipython()
        if type(shell).__name__ != "ZMQInteractiveShell":
            raise NotImplementedError


def check(answer: Any, exercise: str | None = None) -> Result:
    """Run an answer on the visible cases, and print the result.

    Args:
        answer: The function or class; or the exercise's name, to check the answer in the learner's file.
        exercise: The exercise's name, if the answer has another name.

    Raises:
        AssertionError: The check did not pass and nbgrader runs the cell: nbgrader gives full marks to a cell that
            raises nothing.
    """
    try:
        checked = workspace.exercise_of(exercise or answer)
    except CourseError as error:
        show_message(f"check: {error}")
        return Result(str(answer), ERROR, lines=[str(error)])
    result = _checked(checked, answer, by_name=isinstance(answer, str))
    show_message(*result.lines, status=result.status)
    if not result and os.environ.get("NBGRADER_EXECUTION"):
        raise AssertionError("\n".join(result.lines))
    return result


def passed(*names: str) -> bool:
    """Return whether exercises pass, for a cell that needs them; a message names those that do not.

    A file that has not changed since it passed is not run again.

    Args:
        names: The names of the exercises.
    """
    missing = []
    for name in names:
        try:
            exercise = workspace.exercise_of(name)
            record = section(read_state(workspace.find_workspace() / exercise.part), "exercises", exercise.name)
            is_unchanged = record.get("text") == workspace.digest(workspace.read_answer(exercise))
            if not (record.get("status") == PASSED and is_unchanged) and not check_file(exercise):
                missing.append(exercise.name)
        except CourseError as error:
            show_message(f"passed: {error}")
            return False
    if missing:
        show_message(f"This cell needs {join_names(missing)}: run it again when the check has passed.")
    return not missing


def check_file(exercise: Exercise) -> Result:
    """Check the answer in the learner's file, and print nothing."""
    return _checked(exercise, exercise.name, by_name=True)


def check_all(exercises: Iterable[Exercise]) -> dict[str, str]:
    """Check the answers in the learner's files, each once, and print nothing.

    Returns:
        The status of each exercise, by name.
    """
    results: dict[str, Result] = {}

    def result_of(exercise: Exercise) -> Result:
        if exercise.name not in results:
            results[exercise.name] = _checked(exercise, exercise.name, by_name=True, check_used=result_of)
        return results[exercise.name]

    return {exercise.name: result_of(exercise).status for exercise in exercises}


def _checked(
    exercise: Exercise, answer: Any, by_name: bool, check_used: Callable[[Exercise], Result] = check_file
) -> Result:
    """Check an answer and record the result.

    Args:
        exercise: The exercise.
        answer: The learner's object. If it was imported from the learner's file, the file is checked in its place.
        by_name: Whether to check the learner's file, whatever the answer is.
        check_used: The function that checks an exercise that this one uses.
    """
    session = current_session()
    if busy := session.busy():
        return Result(exercise.name, ERROR, lines=[f"{exercise.name} is not checked now: {busy}"])
    note: list[str] = []
    missing: list[str] = []
    try:
        from_workspace = by_name or _is_from_workspace(exercise, answer)
        if from_workspace:
            text = workspace.read_answer(exercise)
            if exercise.name in session.unsaved:
                note = [f"(The cell was not saved when it last ran: the check is of {exercise.path} as it is.)"]
            elif not by_name and _source_text(answer) not in (None, text):
                note = [f"({exercise.path} has changed since the cell ran: the check is of the file as it is now.)"]
            if is_given(text):
                return Result(exercise.name, PASSED, lines=[f"{exercise.name} is given in this course."])
            if is_stub(exercise, text):
                lines = _not_attempted(exercise)
                lines[1:1] = note
                return _recorded(exercise, Result(exercise.name, NOT_ATTEMPTED, lines=lines))
        with as_submitted(exercise) as missing:
            if from_workspace:
                answer = _loaded(exercise)
            if exercise.uses:
                own = len(missing)
                workspace.load_all(session.substituted)
                del missing[own:]  # What other answers lack is said where they are checked.
            result = run_checks(exercise, answer, check_used, session)
    except BaseException as error:  # a learner's code may raise SystemExit, and the stop button KeyboardInterrupt
        hiding = [f"reason: {sentence}" for sentence in hiding_files()]
        missing = [] if hiding else missing
        result = Result(exercise.name, ERROR, lines=[*load_error_lines(exercise, error), *hiding])
    if missing and not result:
        result.lines[:] = [line for line in result.lines if not line.startswith(_REASON_PREFIXES)]
        result.lines.extend(f"reason: {sentence}" for sentence in missing)
    result.lines[1:1] = note
    return _recorded(exercise, result)


def _loaded(exercise: Exercise) -> Any:
    """Import the answer from the learner's file, and discard what that prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        return workspace.load_answer(exercise)


def run_checks(
    exercise: Exercise,
    answer: Any,
    check_used: Callable[[Exercise], Result] = check_file,
    session: Session | None = None,
) -> Result:
    """Run the self-checks of an exercise on an answer; print and record nothing.

    Args:
        exercise: The exercise.
        answer: The learner's function or class.
        check_used: The function that checks an exercise that this one uses.
        session: The session that names the exercises that the reference answers, which are not checked; None for none.
    """
    module = checks_of(exercise)
    substituted = session.substituted if session is not None else ()
    used = [check_used(BY_NAME[name]) for name in exercise.uses if name not in substituted]
    if missing := [result for result in used if not result]:
        return uses_unfinished(exercise, missing)
    unwritten: list[str] | None = None
    with module.CHECK.cached_observations(stop_if_interrupted):
        for test in tests_of(module):
            try:
                with time_limit():
                    test(answer)
            except AssertionError as mismatch:
                if not hasattr(mismatch, "case"):
                    raise
                with time_limit():
                    if unwritten is None:
                        unwritten = _unwritten_methods(exercise, module, answer)
                    if mismatch.case.method in unwritten:
                        continue
                    return _refused(exercise, module, answer, mismatch, unwritten)
    if unwritten:
        return _half_written(exercise, module, unwritten)
    return Result(exercise.name, PASSED, lines=_passed(exercise, len(tests_of(module))))


def tests_of(module: Any) -> list[Callable[[Any], None]]:
    """Return the tests of a module of checks, in the order of the file."""
    return [test for name, test in vars(module).items() if name.startswith("test_")]


def uses_unfinished(exercise: Exercise, missing: list[Result]) -> Result:
    """Return the result for an answer that cannot be run, because exercises that it uses do not pass."""
    lines = [f"{exercise.name}: not checked yet. It uses exercises that have to pass first:"]
    lines += [f"  {result.exercise}: {result.status}" for result in missing]
    return Result(exercise.name, NOT_ATTEMPTED, lines=lines)


# Reports of an answer that is refused.


def _is_unwritten(exercise: Exercise, answer: Any, error: BaseException | None) -> bool:
    """Return whether an exception says that a part of the answer itself is still to be written."""
    if not isinstance(error, NotImplementedError):
        return False
    place = place_of(exercise, error, answer)
    return place is None or place.file in (exercise.path, "your code")


def _unwritten_methods(exercise: Exercise, module: Any, answer: Any) -> list[str]:
    """Return the methods that are still to be written, where others that are checked alone are written already."""
    check = module.CHECK
    methods = {case.method: name for name, case in check.cases.items() if case.method}
    unwritten = [
        method for method, name in methods.items() if _is_unwritten(exercise, answer, check.observe(answer, name)[1])
    ]
    return unwritten if len(unwritten) < len(methods) else []


def _half_written(exercise: Exercise, module: Any, unwritten: Collection[str]) -> Result:
    """Return the result for a class of which some methods are right, and the others still to be written."""
    written = dict.fromkeys(case.method for case in module.CHECK.cases.values() if case.method not in unwritten)
    lines = [
        f"{exercise.name}: not finished. Right so far: {join_names(written)}.",
        f"Still to be written: {join_names(unwritten)}. A hint: hint({exercise.name!r})",
    ]
    return Result(exercise.name, NOT_ATTEMPTED, lines=lines)


def _refused(exercise: Exercise, module: Any, answer: Any, mismatch: Any, unwritten: Collection[str]) -> Result:
    """Return the result for an answer that raised an exception or whose observation differs from the wanted one.

    Args:
        exercise: The exercise.
        module: The module of its checks.
        answer: The learner's function or class.
        mismatch: The difference, or the exception.
        unwritten: The methods that are still to be written.
    """
    error = mismatch.error
    place = None if error is None else place_of(exercise, error, answer)
    if _is_unwritten(exercise, answer, error):
        lines = _not_attempted(exercise)
        if place is not None:
            lines = [f"{exercise.name}: not attempted. Something is still to be written ({place})."]
        return Result(exercise.name, NOT_ATTEMPTED, lines=lines)
    diagnosis = module.CHECK.diagnose(answer, unwritten, mismatch.case)
    if error is not None:
        lines = error_lines(exercise, error, answer, mismatch.case.description)
    else:
        lines = [f"{exercise.name}: wrong.", *map(shortened, mismatch.lines())]
    if likely := diagnosis.description if diagnosis is not None else _likely_reason(exercise, mismatch, place):
        lines.append(f"likely: {likely}")
    elif fact := _fact(module.CHECK, answer, mismatch):
        lines.append(f"that is: {fact}")
    if diagnosis is None and module.CHECK.is_right_elsewhere(answer, mismatch.case):
        lines.append("On every other input of this check your answer is right.")
    if module.CHECK.output:
        count = len(module.CHECK.output.splitlines())
        lines.append(
            f"(Your code printed {count} line{'s' if count > 1 else ''} during the check; they are not shown.)"
        )
    if unwritten:
        lines.append(f"Still to be written: {join_names(unwritten)}.")
    if not likely:
        lines.append(f"A hint: hint({exercise.name!r})")
    lines.extend(_call_again(exercise, module, mismatch.case))
    name = diagnosis.name if diagnosis else None
    return Result(exercise.name, ERROR if error is not None else WRONG, name, lines)


def _likely_reason(exercise: Exercise, mismatch: Any, place: Any) -> str | None:
    """Return the likely reason of a difference or an exception that can occur in any exercise, or None."""
    reason = None
    if mismatch.error is not None:
        reason = reason_of_error(exercise, mismatch.error, place)
        if reason is None and not mismatch.wanted:
            reason = reason_of_refusal(mismatch.error, place)
    elif _is_of_type(mismatch):
        reason = reason_of_type(mismatch.got, mismatch.wanted)
    return reason or reason_of_difference(mismatch) or None


def _is_of_type(mismatch: Any) -> bool:
    """Return whether a difference is one of the type of a result, of which nothing else was observed then."""
    return bool(mismatch.key.startswith("type") or mismatch.key.endswith(": type"))


def _fact(check: Any, answer: Any, mismatch: Any) -> str:
    """Return what is known about how a wrong result comes about, as a clause; empty if nothing is."""
    if mismatch.error is not None or _is_of_type(mismatch):
        return ""
    if unused := check.arguments_without_effect(answer):
        return f"the result stays the same with another {join_names([f'`{name}`' for name in unused], word='or')}"
    if explanation := check.explanation(answer, mismatch.case):
        return str(explanation)
    relation = check.relation(answer, mismatch)
    return f"the {mismatch.key} {_agreeing(mismatch.key, relation)}" if relation else ""


def _agreeing(key: str, relation: str) -> str:
    """Return a relation with its words in the plural if they follow the name of several things, such as "values"."""
    if not re.match(r"\w*[^\Ws]s\b", key):
        return relation
    verb, rest = relation.split(" ", 1)
    return f"{'are' if verb == 'is' else 'have'} {rest.replace(' it should', ' they should')}"


def _call_again(exercise: Exercise, module: Any, case: Any) -> list[str]:
    """Return a line with a call on the same input, if the input's description does not hold all of its numbers."""
    name = next((name for name, other in module.CHECK.cases.items() if other is case), None)
    if not module.CHECK.is_called_with_inputs:
        return []
    if name in (None, "example") or not any(hasattr(value, "dtype") for value in case.inputs.values()):
        return []
    return [f"again:  {exercise.name}(*inputs_of({exercise.name!r}, {name!r}))"]


def _not_attempted(exercise: Exercise) -> list[str]:
    """Return the message for an exercise whose file still holds the stub."""
    lines = [f"{exercise.name}: not attempted."]
    in_notebook = getattr(sys.modules.get("__main__"), exercise.name, None)
    if getattr(in_notebook, "__module__", None) == "__main__":
        lines.append(
            f"This notebook defines {exercise.name} in a cell that was not saved: begin that cell with "
            f"%%exercise {exercise.name}"
        )
    return [*lines, f"Write it in the cell above, or in {exercise.path}. A hint: hint({exercise.name!r})"]


def _passed(exercise: Exercise, count: int) -> list[str]:
    lines = [f"{exercise.name}: passed ({count} test{'s' if count > 1 else ''})."]
    if (SOLUTIONS / exercise.path).is_file():
        lines.append(f"The course's answer, to compare: solution({exercise.name!r})")
    return lines


# Recording of results.


def _recorded(exercise: Exercise, result: Result) -> Result:
    """Record a result in the learner's progress file, and add the next steps to the message of a passed one."""
    try:
        home = workspace.find_workspace()
    except CourseError:
        return result
    with changed_state(home / exercise.part) as state:
        record = section(state, "exercises", exercise.name)
        record["status"] = result.status
        record["text"] = workspace.digest(workspace.read_answer(exercise))
    if result.status == PASSED:
        result.lines.extend(_next_steps(exercise, read_state(home / exercise.part)))
    return result


def _next_steps(exercise: Exercise, state: dict[str, Any]) -> list[str]:
    hints = len(checks_of(exercise).HINTS)
    unread = hints - section(state, "hints").get(exercise.name, 0)
    lines = [f"{unread} hint{'s' if unread > 1 else ''} not opened: hint({exercise.name!r})"] if unread > 0 else []
    return [*lines, next_step(read_progress())]


def _is_from_workspace(exercise: Exercise, answer: Any) -> bool:
    return getattr(answer, "__module__", None) == exercise.qualified_module


def _source_text(answer: Any) -> str | None:
    """Return the text of the file that an answer's module was imported from."""
    source: tuple[str | None, str | None] = getattr(sys.modules.get(answer.__module__), "__text__", (None, None))
    return source[1]
