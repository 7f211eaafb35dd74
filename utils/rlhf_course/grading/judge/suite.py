"""Running the hidden tests on answers, again and again in one process.

The tests are plain pytest; they are collected once, and run on each submission with a fixture named after the exercise.
"""

import os
import sys
import warnings
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from _pytest.config import _prepareconfig
from _pytest.runner import runtestprotocol

from rlhf_course.course import BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.grading.results import Status, TestResult
from rlhf_course.grading.sandbox.answers import AnswerError, Answers
from rlhf_course.paths import HIDDEN_TESTS

HIDDEN = HIDDEN_TESTS
# Where the fixtures of tests/hidden/conftest.py find the answers.
ANSWERS = pytest.StashKey[Any]()
UNUSABLE = "What came has another form than the exercise asks for, and the test could not look at it"
_FAILURE = pytest.StashKey[BaseException]()
_LEFT_OUT = "cacheprovider capture debugging doctest faulthandler junitxml logging pastebin setuponly setupplan stepwise terminal warnings"


def run_suite(
    answers: Answers,
    exercises: Sequence[str],
    hidden: Path = HIDDEN,
    tests: Collection[str] | None = None,
) -> dict[str, list[TestResult]]:
    """Run the hidden tests of some exercises.

    Args:
        answers: what is tested.
        exercises: their names.
        hidden: the folder of the tests.
        tests: the functions to run, by name; all where None.

    Returns: for each exercise its tests' results, in the order in which they are written. What a test raises that is neither
    a failed comparison nor an answer's error counts against the answer, unless it says that grading itself is broken
    (OSError, CourseError), which is passed on.

    Raises:
        CourseError: the tests cannot be collected, or an exercise has none.
    """
    session = _collected(hidden.resolve())
    once = _Once(answers)
    session.config.stash[ANSWERS] = once
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {
                exercise: [_run(item) for item in _items(session, exercise, hidden, tests)] for exercise in exercises
            }
    finally:
        del session.config.stash[ANSWERS]


def _items(
    session: pytest.Session, exercise: str, hidden: Path, tests: Collection[str] | None
) -> list[pytest.Function]:
    items = [
        item
        for item in session.items
        if (item.path.parent.name, item.path.stem) == (BY_NAME[exercise].part, f"test_{BY_NAME[exercise].module}")
    ]
    if not items:
        raise CourseError(f"{hidden} holds no test_{BY_NAME[exercise].file}: {exercise} cannot be graded")
    return [item for item in items if tests is None or item.originalname in tests]


class _Once:
    """Answers, each asked for once."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._found: dict[str, Any] = {}

    def answer(self, exercise: str) -> Any:
        if exercise not in self._found:
            try:
                self._found[exercise] = self._answers.answer(exercise)
            except AnswerError as error:
                self._found[exercise] = error
        found = self._found[exercise]
        if isinstance(found, AnswerError):
            raise found
        return found


def _run(item: pytest.Function) -> TestResult:
    item.stash[_FAILURE] = None
    item._initrequest()  # fresh fixtures for an item that has run before
    runtestprotocol(item, log=False, nextitem=None)
    status, message = _judged(item.stash[_FAILURE])
    return TestResult(name=sentence(item.originalname), points=points(item), status=status, message=message)


def _judged(raised: BaseException | None) -> tuple[Status, str]:
    if raised is None:
        return "passed", ""
    if isinstance(raised, AnswerError):
        return raised.kind, raised.message
    if isinstance(raised, AssertionError):
        return "failed", str(raised)
    if not isinstance(raised, Exception) or isinstance(raised, OSError | CourseError):
        raise raised
    return "error", f"{UNUSABLE} ({type(raised).__name__})"


def sentence(name: str) -> str:
    """A test's name as a sentence."""
    return name.removeprefix("test_").replace("_", " ")


def points(item: pytest.Function) -> float:
    """What a test is worth.

    Raises:
        CourseError: it does not say.
    """
    marker = item.get_closest_marker("points")
    if marker is None:
        raise CourseError(f"{item.nodeid} does not say what it is worth: mark it with @pytest.mark.points(n)")
    return float(marker.args[0])


def collected(hidden: Path = HIDDEN) -> list[pytest.Function]:
    """The hidden tests."""
    return list(_collected(hidden.resolve()).items)


@cache
def _collected(hidden: Path) -> pytest.Session:
    arguments = [str(hidden), "-c", os.devnull, "--rootdir", str(hidden), "--assert=plain", "--import-mode=importlib"]
    for plugin in _LEFT_OUT.split():
        arguments += ["-p", f"no:{plugin}"]
    with mock.patch.dict(os.environ, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}):
        config = _prepareconfig(arguments, plugins=[_Hooks()])
        config._do_configure()
    session = pytest.Session.from_config(config)
    config.hook.pytest_sessionstart(session=session)
    # A pytest around this one would rewrite assertions, so that messages show values.
    plain = [finder for finder in sys.meta_path if type(finder).__name__ != "AssertionRewritingHook"]
    with mock.patch.object(sys, "meta_path", plain):
        config.hook.pytest_collection(session=session)
    for item in session.items:  # another folder may hold modules of the same names
        sys.modules.pop(item.module.__name__, None)
    return session


class _Hooks:
    """What pytest is told to do otherwise."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Function, call: pytest.CallInfo) -> pytest.TestReport:
        """Keep the exception itself; nobody reads a traceback."""
        if call.excinfo is not None and item.stash[_FAILURE] is None:
            item.stash[_FAILURE] = call.excinfo.value
        outcome = "passed" if call.excinfo is None else "failed"
        return pytest.TestReport(item.nodeid, item.location, {}, outcome, None, call.when)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            raise CourseError(f"the hidden tests cannot be collected: {report.longreprtext}")
