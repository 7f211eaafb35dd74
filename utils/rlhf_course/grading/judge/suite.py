"""Run the hidden tests on answers, as often as needed in one process.

The tests are plain pytest. They are collected once, and then run on each submission with a fixture that is named after
the exercise.
"""

import os
import re
import sys
import threading
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import pytest
from _pytest.config import _prepareconfig
from _pytest.runner import runtestprotocol

from rlhf_course.course import BY_NAME, PARTS_BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.grading.judge.draw import Draw
from rlhf_course.grading.judge.recorder import CallRecorder
from rlhf_course.grading.results import Status, TestResult
from rlhf_course.grading.sandbox.answers import AnswerError, Answers
from rlhf_course.grading.secret import PUBLIC, Secret
from rlhf_course.paths import HIDDEN_TESTS

HIDDEN = HIDDEN_TESTS
# The fixtures of tests/hidden/conftest.py take the answers from the configuration's stash, under this key.
ANSWERS = pytest.StashKey[Any]()
# The fixture `draw` takes the course's secret from there, under this key.
SECRET = pytest.StashKey[Secret]()
UNUSABLE = "The result has another form than the exercise asks for, so the test could not check it"
ANOTHER_EXCEPTION = "Another exception; only the first exception of an exercise is described"
# The part of a message that says what came in place of the right type or size.
_CAME, _SOMETHING_CAME = re.compile(r"; [^;:]+ came\b"), "; something else came"
_EXCEPTION = pytest.StashKey[BaseException | None]()
_DISABLED_PLUGINS = (
    "cacheprovider", "capture", "debugging", "doctest", "faulthandler", "junitxml", "logging", "pastebin", "setuponly",
    "setupplan", "stepwise", "terminal", "warnings",
)  # fmt: skip


def run_suite(
    answers: Answers,
    exercises: Sequence[str],
    hidden: Path = HIDDEN,
    tests: Collection[str] | None = None,
    secret: Secret = PUBLIC,
    recorder: CallRecorder | None = None,
) -> dict[str, list[TestResult]]:
    """Run the hidden tests of some exercises.

    An exception of a test that is neither a failed comparison nor an `AnswerError` counts against the answer. Only
    OSError and CourseError, which say that grading itself is broken, are passed on.

    Args:
        answers: The answers to test.
        exercises: The names of the exercises.
        hidden: The folder of the hidden tests.
        tests: The names of the test functions to run; None runs all.
        secret: The course's secret, from which tests draw their inputs.
        recorder: Records the calls by test; None records nothing.

    Returns:
        For each exercise the results of its tests, in the order of the file.

    Raises:
        CourseError: The tests cannot be collected, or an exercise has none.
    """
    suite = _collected_suite(hidden.resolve())
    with suite.lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        suite.session.config.stash[ANSWERS] = _CachedAnswers(answers, recorder)
        suite.session.config.stash[SECRET] = secret
        try:
            return {
                exercise: with_one_description(
                    [_run(item, recorder) for item in _items_of(suite.session, exercise, hidden, tests)]
                )
                for exercise in exercises
            }
        finally:
            del suite.session.config.stash[ANSWERS]


@dataclass(frozen=True)
class _Suite:
    """A collected folder of hidden tests.

    Attributes:
        session: The pytest session that holds the tests.
        lock: Held while tests run, because they find the answers in the session's configuration.
    """

    session: pytest.Session
    lock: threading.RLock = field(default_factory=threading.RLock)


def _functions(session: pytest.Session) -> list[pytest.Function]:
    return [item for item in session.items if isinstance(item, pytest.Function)]


def _items_of(
    session: pytest.Session, exercise: str, hidden: Path, tests: Collection[str] | None
) -> list[pytest.Function]:
    items = [
        item
        for item in _functions(session)
        if (item.path.parent.name, item.path.stem) == (BY_NAME[exercise].part, f"test_{BY_NAME[exercise].module}")
    ]
    if not items:
        raise CourseError(f"{hidden} holds no test_{BY_NAME[exercise].file}: {exercise} cannot be graded")
    return [item for item in items if tests is None or item.originalname in tests]


class _CachedAnswers:
    """Answers of which each is loaded only once, even if it does not load."""

    def __init__(self, answers: Answers, recorder: CallRecorder | None = None) -> None:
        self._answers, self._recorder = answers, recorder
        self._cache: dict[str, Any] = {}

    def answer(self, exercise: str) -> Any:
        """See `Answers.answer`."""
        if exercise not in self._cache:
            try:
                answer = self._answers.answer(exercise)
                self._cache[exercise] = self._recorder.wrap(answer) if self._recorder else answer
            except AnswerError as error:
                self._cache[exercise] = error
        answer = self._cache[exercise]
        if isinstance(answer, AnswerError):
            raise answer
        return answer


def _run(item: pytest.Function, recorder: CallRecorder | None) -> TestResult:
    name = sentence(item.originalname)
    if recorder is not None:
        recorder.start(name)
    item.stash[_EXCEPTION] = None
    item._initrequest()  # An item that has run before needs fresh fixtures.
    runtestprotocol(item, log=False, nextitem=None)
    status, message = _status_and_message(item.stash[_EXCEPTION])
    return TestResult(name=name, points=points(item), status=status, message=message)


def _status_and_message(exception: BaseException | None) -> tuple[Status, str]:
    if exception is None:
        return "passed", ""
    if isinstance(exception, AnswerError):
        return exception.kind, exception.message
    if isinstance(exception, AssertionError):
        return "failed", str(exception)
    if not isinstance(exception, Exception) or isinstance(exception, OSError | CourseError):
        raise exception
    return "error", f"{UNUSABLE} ({type(exception).__name__})"


def with_one_description(results: Sequence[TestResult]) -> list[TestResult]:
    """Return the results of an exercise without all but the first description of what an answer did.

    An answer chooses the exceptions that it raises, and the types and sizes that it returns. With a different one in
    each test it could spell out what it found in its sandbox. So the first exception and the first description of what
    came are kept; a test that has another one says only that it is another one.
    """
    first_error = next((result.message for result in results if result.status == "error"), "")
    came = [match.group() for result in results if (match := _CAME.search(result.message))]

    def capped(result: TestResult) -> TestResult:
        message = result.message
        if result.status == "error" and message != first_error:
            message = UNUSABLE if message.startswith(UNUSABLE) else ANOTHER_EXCEPTION
        if came:
            message = _CAME.sub(lambda match: match.group() if match.group() == came[0] else _SOMETHING_CAME, message)
        return result.model_copy(update={"message": message})

    return [capped(result) for result in results]


def draw_of(item: pytest.Function) -> Draw:
    """Return the source of random values of a hidden test."""
    part, module = item.path.parent.name, item.path.stem.removeprefix("test_")
    return Draw(item.config.stash.get(SECRET, PUBLIC), f"{part}/{module}/{item.originalname}")


def sentence(name: str) -> str:
    """Return the name of a test function as a sentence."""
    return name.removeprefix("test_").replace("_", " ")


def points(item: pytest.Function) -> float:
    """Return the points of a test.

    Raises:
        CourseError: The test has no `points` marker.
    """
    marker = item.get_closest_marker("points")
    if marker is None:
        raise CourseError(f"{item.nodeid} has no points: mark it with @pytest.mark.points(n)")
    return float(marker.args[0])


def collected(hidden: Path = HIDDEN) -> list[pytest.Function]:
    """Return the hidden tests of a folder."""
    return _functions(_collected_suite(hidden.resolve()).session)


def collected_names(exercise: str, hidden: Path = HIDDEN) -> list[str]:
    """Return the names of the test functions of an exercise.

    Raises:
        CourseError: It has none.
    """
    return [item.originalname for item in _items_of(_collected_suite(hidden.resolve()).session, exercise, hidden, None)]


@cache
def _collected_suite(hidden: Path) -> _Suite:
    arguments = [str(hidden), "-c", os.devnull, "--rootdir", str(hidden), "--assert=plain", "--import-mode=importlib"]
    for plugin in _DISABLED_PLUGINS:
        arguments += ["-p", f"no:{plugin}"]
    with mock.patch.dict(os.environ, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}):
        config = _prepareconfig(arguments, plugins=[_SuitePlugin()])
        config._do_configure()
    session = pytest.Session.from_config(config)
    config.hook.pytest_sessionstart(session=session)
    # If this process itself runs under pytest, its import hook would rewrite assertions so that messages show values.
    finders = [finder for finder in sys.meta_path if type(finder).__name__ != "AssertionRewritingHook"]
    packages = {name: sys.modules.get(name) for name in PARTS_BY_NAME}
    with mock.patch.object(sys, "meta_path", finders):
        config.hook.pytest_collection(session=session)
    # pytest enters the folders of the hidden tests as packages, with the names of the parts' own.
    for name, package in packages.items():
        sys.modules.pop(name, None)
        if package is not None:
            sys.modules[name] = package
    for item in _functions(session):  # Another folder of hidden tests may hold modules of the same names.
        sys.modules.pop(item.module.__name__, None)
    return _Suite(session)


class _SuitePlugin:
    """Implements pytest hooks: stores each test's exception, and raises an error if collection fails."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Function, call: pytest.CallInfo[None]) -> pytest.TestReport:
        """Store the first exception of a test in its stash, and return a report without a traceback."""
        if call.excinfo is not None and item.stash[_EXCEPTION] is None:
            item.stash[_EXCEPTION] = call.excinfo.value
        outcome: Literal["passed", "failed"] = "passed" if call.excinfo is None else "failed"
        assert call.when != "collect", "pytest calls this hook only for the phases of a test"
        return pytest.TestReport(item.nodeid, item.location, {}, outcome, None, call.when)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Raise an error if a hidden test file cannot be collected."""
        if report.failed:
            raise CourseError(f"the hidden tests cannot be collected: {report.longreprtext}")
