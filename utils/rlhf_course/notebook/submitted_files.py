"""Run an answer with what the grader has: the learner's Python files of the part, and installed packages.

Other files, modules beside the notebook, `input()` and IPython's own functions are missing there. Inside `as_submitted`
they are missing here too, so that a check does not accept an answer that would fail where it is graded.
"""

import builtins
import errno
import os
import site
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn
from unittest import mock

from rlhf_course.course import Exercise
from rlhf_course.errors import CourseError
from rlhf_course.notebook.hiding import hides_a_module, hiding_sentence
from rlhf_course.notebook.workspace import find_workspace
from rlhf_course.paths import PACKAGE, SOLUTIONS

_IPYTHON_BUILTINS = ("display", "get_ipython")
_INSTALLED_FOLDERS = ("site-packages", "dist-packages")


@dataclass
class SubmittedFiles:
    """Decides which files the grader has, and stores a sentence for each use of something that it lacks.

    Attributes:
        exercise: The exercise that is checked.
        folder: The learner's folder of the part, whose Python files are handed in.
        folders: The learner's folders, whose other files are not handed in.
        missing: The sentences for the learner, without repetitions.
    """

    exercise: Exercise
    folder: str
    folders: tuple[str, ...]
    missing: list[str] = field(default_factory=list)
    _written: set[str] = field(default_factory=set)

    def is_missing(self, path: str) -> bool:
        """Return whether a path is in a learner's folder and not handed in; hidden folders and caches do not count."""
        folders = [folder for folder in self.folders if _is_below(path, folder)]
        if not folders or path in self._written or _is_installed(path):
            return False
        if _is_below(path, self.folder) and path.endswith(".py"):
            return False
        inside = path.removeprefix(max(folders, key=len))
        return not any(name.startswith(".") or name == "__pycache__" for name in inside.split(os.sep))

    def open(self, file: Any, flags: int) -> None:
        """Refuse to open a file that is not handed in.

        Args:
            file: The path, or a file descriptor.
            flags: The flags of the system call, as the audit event `open` holds them.

        Raises:
            FileNotFoundError: The file is not handed in.
        """
        if not isinstance(file, str | bytes | os.PathLike):
            return
        path = os.path.realpath(os.fsdecode(file))
        if flags & (os.O_WRONLY | os.O_TRUNC):
            self._written.add(path)
        if not (self.is_missing(path) and os.path.isfile(path) and _is_learners(_without_libraries(sys._getframe(2)))):
            return
        self._add(
            f"The grader does not have {os.path.basename(path)}, only the Python files in {self.exercise.part}/. "
            f"Write what it holds into {self.exercise.path}."
        )
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(file))

    def input(self, *_: Any) -> NoReturn:
        """Refuse to wait for input.

        Raises:
            EOFError: Always.
        """
        self._add("Nobody answers input() or a debugger where the exercise is graded: write the value into the code.")
        raise EOFError("no input where the exercise is graded")

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Refuse to import a module that is not handed in; find no other module.

        Raises:
            ModuleNotFoundError: The module is not handed in.
        """
        if path is not None or name == self.exercise.part:
            return
        spec = PathFinder.find_spec(name)
        if (
            spec is None
            or not self.is_missing(_location(spec))
            or not _is_learners(_without_importlib(sys._getframe(1)))
        ):
            return
        self._add(
            hiding_sentence(name)
            if hides_a_module(name)
            else f"The grader does not have the module {name}, only the Python files in {self.exercise.part}/. "
            f"Put it there, and write `from {self.exercise.part} import {name}`."
        )
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def _add(self, sentence: str) -> None:
        if sentence not in self.missing:
            self.missing.append(sentence)


_SUBMITTED: ContextVar[SubmittedFiles | None] = ContextVar("submitted", default=None)


@contextmanager
def as_submitted(exercise: Exercise) -> Iterator[list[str]]:
    """Let the exercise's answer use only what the grader has, and import the learner's files again, inside the block.

    Args:
        exercise: The exercise.

    Yields:
        A list to which a sentence is added for each use of something that the grader lacks.
    """
    try:
        workspace = str(find_workspace())
    except CourseError:  # The answer is checked outside any workspace, and is not handed in.
        yield []
        return
    _install_audit_hook()
    folders = dict.fromkeys([workspace, os.getcwd(), os.path.realpath(Path.home())])
    submitted = SubmittedFiles(exercise, os.path.join(workspace, exercise.part), tuple(folders))
    token = _SUBMITTED.set(submitted)
    try:
        with ExitStack() as stack:
            stack.enter_context(_reimported_modules(submitted))
            stack.enter_context(mock.patch.object(sys, "meta_path", [submitted, *sys.meta_path]))
            stack.enter_context(mock.patch.object(builtins, "input", submitted.input))
            stack.enter_context(_without_builtins(_IPYTHON_BUILTINS))
            yield submitted.missing
    finally:
        _SUBMITTED.reset(token)


@cache
def _install_audit_hook() -> None:
    """Add an audit hook to this process, which does nothing outside `as_submitted`."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and (submitted := _SUBMITTED.get()) is not None:
            submitted.open(arguments[0], arguments[2])

    sys.addaudithook(hook)


@contextmanager
def _reimported_modules(submitted: SubmittedFiles) -> Iterator[None]:
    """Take the learner's modules out of `sys.modules` until the block ends.

    A module of the part whose text has not changed comes back afterwards, since the notebook holds objects of it.
    """
    prefix = f"{submitted.exercise.part}."
    of_the_part = {name: module for name, module in sys.modules.items() if name.startswith(prefix)}
    beside = {name: module for name, module in sys.modules.items() if submitted.is_missing(_file_of(module))}
    beside.pop("__main__", None)
    for name in {**of_the_part, **beside}:
        del sys.modules[name]
    try:
        yield
    finally:
        for name, module in of_the_part.items():
            text = vars(module).get("__text__")
            loaded = sys.modules.get(name)
            if loaded is None or (text is not None and text == vars(loaded).get("__text__")):
                sys.modules[name] = module
        sys.modules.update(beside)


@contextmanager
def _without_builtins(names: Sequence[str]) -> Iterator[None]:
    """Delete builtins that only IPython defines, until the block ends."""
    values = {name: vars(builtins).pop(name) for name in names if name in vars(builtins)}
    try:
        yield
    finally:
        vars(builtins).update(values)


def _is_learners(frame: FrameType | None) -> bool:
    """Return whether a frame runs the learner's code, and neither the course's nor an installed package's."""
    if frame is None:
        return False
    file = frame.f_code.co_filename
    return not (_is_below(file, str(PACKAGE)) or _is_below(file, str(SOLUTIONS)) or _is_installed(file))


def _without_libraries(frame: FrameType | None) -> FrameType | None:
    """Return the first frame, from a frame outwards, that runs the learner's code or the course's."""
    while frame is not None and _is_library(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _without_importlib(frame: FrameType | None) -> FrameType | None:
    """Return the frame that imports a module, given a frame of Python's import system."""
    while frame is not None and (frame.f_code.co_filename.startswith("<frozen") or _is_importlib(frame)):
        frame = frame.f_back
    return frame


def _is_importlib(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "importlib"


def _is_library(file: str) -> bool:
    """Return whether a frame's file is an installed one outside the course, or no file and no cell of IPython."""
    if _is_below(file, str(PACKAGE)):
        return False
    return _is_installed(file) or (file.startswith("<") and not file.startswith("<ipython-input"))


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


@cache
def _installed_prefixes() -> tuple[str, ...]:
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(PACKAGE), site.getuserbase()}
    return tuple(prefixes | {os.path.realpath(prefix) for prefix in prefixes})


def _is_installed(path: str) -> bool:
    """Return whether a file belongs to Python, an installed package or this package."""
    return any(_is_below(path, prefix) for prefix in _installed_prefixes()) or any(
        name in _INSTALLED_FOLDERS for name in path.split(os.sep)
    )


def _file_of(module: Any) -> str:
    file = getattr(module, "__dict__", {}).get("__file__")
    return file if isinstance(file, str) else ""


def _location(spec: ModuleSpec) -> str:
    """Return the file of a module, or the folder of a package without `__init__.py`."""
    if spec.origin is not None:
        return spec.origin
    return next(iter(spec.submodule_search_locations or ()), "")
