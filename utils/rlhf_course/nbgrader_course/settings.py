"""Configure nbgrader for a course; the course's `nbgrader_config.py` calls `configure`."""

import logging
import os
import sqlite3
import sys
import warnings
from types import TracebackType
from typing import Any

import nbgrader.apps.api
import nbgrader.apps.autogradeapp
import nbgrader.apps.generateassignmentapp
import nbgrader.apps.generatefeedbackapp
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ClearOutput
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SAWarning

from rlhf_course.building.notebooks import CLEAR_SOLUTIONS
from rlhf_course.errors import CourseError
from rlhf_course.grading.submissions.parse_submission import printable
from rlhf_course.nbgrader_course.autograde import JudgedAutograde
from rlhf_course.nbgrader_course.collect import CourseCollector, SafeExtractor
from rlhf_course.nbgrader_course.feedback import CleanFeedback
from rlhf_course.nbgrader_course.generate import ChangeToCourse, StubbedAssignment
from rlhf_course.nbgrader_course.late import CourseLatePenalty
from rlhf_course.nbgrader_course.outputs import ClearOutputButExpected

# nbgrader's converters that are replaced, and the modules where its commands and the formgrader look them up.
_REPLACEMENTS = {
    "Autograde": (JudgedAutograde, (nbgrader.apps.autogradeapp, nbgrader.apps.api)),
    "GenerateAssignment": (StubbedAssignment, (nbgrader.apps.generateassignmentapp, nbgrader.apps.api)),
    "GenerateFeedback": (CleanFeedback, (nbgrader.apps.generatefeedbackapp, nbgrader.apps.api)),
}
# Seconds that a process waits for another one to finish writing to the gradebook.
_BUSY_TIMEOUT = 120


def configure(config: Any, course: str) -> None:
    """Configure nbgrader for a course's folder that `new_course` wrote.

    Args:
        config: The configuration of traitlets, as `get_config()` returns it.
        course: The course's folder.

    Raises:
        CourseError: This version of nbgrader looks its converters up in other modules.
    """
    config.CourseDirectory.root = course
    config.CourseDirectory.ignore = [
        ".ipynb_checkpoints",
        "*.pyc",
        "__pycache__",
        "feedback",
        "runs",
        "wandb",
        ".history",
        ".progress.json*",
    ]
    config.CourseDirectory.max_dir_size = 100_000_000
    # `nbgrader validate` runs cells, and a training or the import of torch on a slow machine takes long.
    config.Execute.timeout = 3600
    config.Execute.iopub_timeout = 120
    config.ClearSolutions.update(CLEAR_SOLUTIONS)
    config.AssignLatePenalties.plugin_class = CourseLatePenalty
    _replace(config.GenerateAssignment, ClearOutput, ClearOutputButExpected)
    # Feedback and the formgrader convert notebooks by this exporter.
    config.HTMLExporter.preprocessors = ["rlhf_course.nbgrader_course.preprocessors.CleanContent"]
    config.ZipCollectApp.extractor_plugin = SafeExtractor
    config.ZipCollectApp.collector_plugin = CourseCollector
    config.CourseCollector.valid_ext = [".ipynb", ".py"]
    for name, (replacement, modules) in _REPLACEMENTS.items():
        for module in modules:
            if not issubclass(getattr(module, name, type(None)), replacement.__mro__[1]):
                raise CourseError(
                    f"{module.__name__} of this nbgrader has no {name} to replace: "
                    "install the version in requirements.lock"
                )
            setattr(module, name, replacement)
    _extend_path()
    sys.excepthook = _print_in_one_line
    # nbgrader's queries make the pinned SQLAlchemy print three warnings in each process.
    warnings.filterwarnings("ignore", category=SAWarning)
    logging.setLogRecordFactory(_PrintableRecord)
    if not event.contains(Engine, "connect", _set_busy_timeout):
        event.listen(Engine, "connect", _set_busy_timeout)


def _print_in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an error that the instructor can correct without a traceback, and any other as Python does."""
    if issubclass(kind, CourseError):
        print(f"error: {printable(str(error))}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


class _PrintableRecord(logging.LogRecord):
    """A message for the log without terminal escapes, which the names of learners' files may hold."""

    def getMessage(self) -> str:
        """Return the message; it keeps its lines."""
        return "\n".join(map(printable, super().getMessage().expandtabs().split("\n")))


def _extend_path() -> None:
    """Add this environment's programs to PATH, since nbgrader starts `alembic` by name."""
    programs = os.path.dirname(sys.executable)
    if programs not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, (programs, os.environ.get("PATH"))))


def _set_busy_timeout(connection: Any, _: Any) -> None:
    """Let a connection wait while another process writes to the gradebook; SQLite's default is five seconds."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {1000 * _BUSY_TIMEOUT}")


def _replace(section: Any, old: type, new: type) -> None:
    """Replace a preprocessor of `nbgrader generate_assignment`, which first gets the notebook as the course has it."""
    stock = GenerateAssignment.class_traits()["preprocessors"].default()
    replaced = [new if preprocessor is old else preprocessor for preprocessor in stock]
    section.preprocessors = [ChangeToCourse, *replaced]
