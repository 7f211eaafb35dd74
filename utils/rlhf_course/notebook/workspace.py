"""The workspace: the folder that holds the learner's package, its files, and the modules that are loaded from them."""

import difflib
import hashlib
import importlib
import importlib.util
import linecache
import os
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from rlhf_course.course import BY_NAME, Exercise
from rlhf_course.errors import CourseError
from rlhf_course.files import write_text
from rlhf_course.learner_package import PACKAGE, use_code
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import is_stub

HISTORY = ".history"


def find_workspace() -> Path:
    """The folder that holds the learner's package: `RLHF_COURSE_DESK`, else the current folder or one above it.

    Raises:
        CourseError: there is none.
    """
    if named := os.environ.get("RLHF_COURSE_DESK"):
        home = Path(named).expanduser().resolve()
        home = home.parent if home.name == PACKAGE and not (home / PACKAGE).is_dir() else home
        if (home / PACKAGE / "__init__.py").is_file():
            return home
        raise CourseError(f"RLHF_COURSE_DESK is {named!r}, which holds no {PACKAGE}/__init__.py")
    here = Path.cwd().resolve()
    for home in (here, *here.parents):
        if (home / PACKAGE / "__init__.py").is_file():
            return home
    raise CourseError(f"no {PACKAGE}/ here ({here}): start in notebooks/, or set RLHF_COURSE_DESK to that folder")


def exercise_of(name_or_object: Any) -> Exercise:
    """The exercise that a name, a function or a class stands for.

    Raises:
        CourseError: none does.
    """
    name = name_or_object if isinstance(name_or_object, str) else getattr(name_or_object, "__name__", None)
    if name not in BY_NAME:
        near = difflib.get_close_matches(str(name), BY_NAME, 1)
        others = f"did you mean {near[0]}?" if near else f"they are {', '.join(BY_NAME)}"
        raise CourseError(f"{name or name_or_object!r} is no exercise; {others}")
    return BY_NAME[name]


def file_of(exercise: Exercise) -> Path:
    """Where the learner's answer is kept."""
    return find_workspace() / PACKAGE / exercise.file


def read_answer(exercise: Exercise) -> str | None:
    """The text of the learner's file, whatever editor wrote it, or None where there is none."""
    try:
        content = file_of(exercise).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return plain(content.decode("utf-8"))
    except UnicodeDecodeError:
        return plain(content.decode("latin-1"))


def plain(text: str) -> str:
    """A text without a byte order mark, with lines that end as they do on Unix."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def digest(text: str | None) -> str:
    """A short fingerprint of a text."""
    return hashlib.sha256((text or "").encode("utf-8")).hexdigest()[:16]


def save_answer(exercise: Exercise, text: str) -> Path | None:
    """Write the learner's file whole; what it held before goes to the history.

    Returns: where the earlier text is kept, or None where there was none worth keeping.
    """
    before, kept = read_answer(exercise), None
    if before is not None and before != text and not is_stub(exercise, before):
        kept = _keep(exercise, before)
    path = file_of(exercise)
    write_text(path, text)
    # A cache of bytecode knows a file by its second and size alone, and could outlive a quick edit.
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
    return kept


def _keep(exercise: Exercise, text: str) -> Path:
    history = file_of(exercise).parent / HISTORY
    history.mkdir(exist_ok=True)
    same = [path for path in history.glob(f"{exercise.module}-*-{digest(text)}.py")]
    path = same[0] if same else history / f"{exercise.module}-{datetime.now():%Y%m%d-%H%M%S}-{digest(text)}.py"
    if not same:
        write_text(path, text)
    return path


# Loading.


def load_answer(exercise: Exercise) -> Any:
    """What the learner's file defines under the exercise's name; the file is run anew where it has changed.

    Raises:
        CourseError: no such file, or it does not define the name.
        Exception: whatever the file raises.
    """
    text = read_answer(exercise)
    path = file_of(exercise)
    if text is None:
        raise CourseError(f"{path} does not exist; `reset({exercise.name!r})` puts the stub there")
    module = load_module(exercise, path, text)
    if exercise.name not in vars(module):
        raise CourseError(f"{PACKAGE}/{exercise.file} does not define {exercise.name}: the exercise keeps its name")
    return vars(module)[exercise.name]


def load_module(exercise: Exercise, path: Path, text: str) -> ModuleType:
    """The module that a text makes, as a module of the part's package; the one that is loaded where it is of the same text."""
    package = _package()
    name = f"{PACKAGE}.{exercise.module}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__text__", None) == (str(path), text):
        return loaded
    linecache.checkcache(str(path))
    module = ModuleType(name)
    module.__file__, module.__package__ = str(path), PACKAGE
    module.__spec__ = importlib.util.spec_from_file_location(name, path)
    module.__text__ = (str(path), text)
    sys.modules[name] = module
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except BaseException:
        sys.modules.pop(name, None)
        if loaded is not None:
            sys.modules[name] = loaded
        raise
    setattr(package, exercise.module, module)
    return module


def load_all() -> None:
    """Load every file that has changed; the reference's for substituted exercises. Files that fail are left out."""
    for exercise in BY_NAME.values():
        try:
            if exercise.name in _substituted:
                path = SOLUTIONS / PACKAGE / exercise.file
                load_module(exercise, path, path.read_text(encoding="utf-8"))
            else:
                load_answer(exercise)
        except (Exception, SystemExit):
            sys.modules.pop(f"{PACKAGE}.{exercise.module}", None)


# Exercises whose cell could not be saved when it last ran here, so that their file holds something else.
unsaved: set[str] = set()
# The folder of the run that is being trained in this process, between `gate.prepare_run` and `gate.release_run`.
in_training: Path | None = None
_substituted: tuple[str, ...] = ()


def busy() -> str | None:
    """Why nothing can be checked or trained now: a run shares its exercises and its random numbers with nobody."""
    return in_training and f"{in_training} is being trained: stop it first, or wait for it with `await ….finished()`"


def substituted() -> tuple[str, ...]:
    """The exercises whose answer is the reference's for now."""
    return _substituted


def substitute(names: Iterable[str]) -> None:
    """Let the reference answer these exercises in place of the learner, and no others, until the next call."""
    global _substituted
    _substituted = tuple(dict.fromkeys(names))


def _package() -> ModuleType:
    """Import the part's package of the workspace."""
    desk = find_workspace()
    package = sys.modules.get(PACKAGE)
    if package is None or Path(package.__file__).resolve().parent != desk / PACKAGE:
        use_code(desk)
    return importlib.import_module(PACKAGE)
