"""What a course's `nbgrader_config.py` sets."""

import os
import sqlite3
import sys
import warnings
from typing import Any

import nbgrader.apps.api
import nbgrader.apps.autogradeapp
import nbgrader.apps.generateassignmentapp
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ClearOutput
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SAWarning

from rlhf_course.building.notebooks import CLEAR_SOLUTIONS
from rlhf_course.errors import CourseError
from rlhf_course.nbgrader_course.autograde import JudgedAutograde
from rlhf_course.nbgrader_course.collect import CourseCollector, SafeExtractor
from rlhf_course.nbgrader_course.generate import StubbedAssignment
from rlhf_course.nbgrader_course.outputs import ClearOutputButExpected

# The modules through which the shell's commands and the formgrader's buttons reach nbgrader's converters.
_USERS = {
    "Autograde": (JudgedAutograde, (nbgrader.apps.autogradeapp, nbgrader.apps.api)),
    "GenerateAssignment": (StubbedAssignment, (nbgrader.apps.generateassignmentapp, nbgrader.apps.api)),
}
# Seconds that a process waits for another one to leave the gradebook.
_PATIENCE = 120


def configure(config: Any, course: str) -> None:
    """Set what makes an nbgrader course out of a folder that `new_course` wrote.

    Args:
        config: traitlets' configuration, as `get_config()` gives it.
        course: the course's folder.

    Raises:
        CourseError: this nbgrader takes its converters from elsewhere.
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
    # For `nbgrader validate`, which runs cells: torch takes its time on a slow machine, and a training takes longer.
    config.Execute.timeout = 3600
    config.Execute.iopub_timeout = 120
    config.ClearSolutions.update(CLEAR_SOLUTIONS)
    _replace(config.GenerateAssignment, ClearOutput, ClearOutputButExpected)
    config.ZipCollectApp.extractor_plugin = SafeExtractor
    config.ZipCollectApp.collector_plugin = CourseCollector
    config.CourseCollector.valid_ext = [".ipynb", ".py"]
    for name, (ours, modules) in _USERS.items():
        for module in modules:
            if not issubclass(getattr(module, name, type(None)), ours.__base__):
                raise CourseError(
                    f"{module.__name__} of this nbgrader has no {name} to replace: install the version of requirements.lock"
                )
            setattr(module, name, ours)
    _find_programs()
    # nbgrader's own queries make the SQLAlchemy of the lock warn, three times in each process.
    warnings.filterwarnings("ignore", category=SAWarning)
    if not event.contains(Engine, "connect", _be_patient):
        event.listen(Engine, "connect", _be_patient)


def _find_programs() -> None:
    """nbgrader starts `alembic` by name, which has to be found without an activated environment, too."""
    programs = os.path.dirname(sys.executable)
    if programs not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, (programs, os.environ.get("PATH"))))


def _be_patient(connection: Any, _: Any) -> None:
    """Let a process wait while another one writes to the gradebook; sqlite gives up after seconds."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {1000 * _PATIENCE}")


def _replace(section: Any, old: type, new: type) -> None:
    """Put a preprocessor in the place of nbgrader's, in the list of `nbgrader generate_assignment`."""
    stock = GenerateAssignment.class_traits()["preprocessors"].default()
    section.preprocessors = [new if one is old else one for one in stock]
