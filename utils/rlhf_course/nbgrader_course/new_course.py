"""Write the folder of an nbgrader course, for `rlhf-course new-course`."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlhf_course.course_file import COURSE_FILE, course_file_template, parse_course_file
from rlhf_course.errors import CourseError
from rlhf_course.grading.secret import create_secret
from rlhf_course.nbgrader_course.assignments import assignment_sources
from rlhf_course.paths import REPOSITORY

# The folder beside the gradebook that holds the secret, the lock, the results, and a marker file for each submission
# that is being written.
STATE_FOLDER = ".rlhf_course"
_INSTRUCTOR = '''"""nbgrader's settings of this course; every nbgrader command that is run in this folder reads them."""

from pathlib import Path

from rlhf_course.nbgrader_course.settings import configure

c = get_config()  # noqa: F821: nbgrader puts it there
configure(c, str(Path(__file__).resolve().parent))

c.CourseDirectory.course_id = {course_id}
# The folder through which assignments and submissions go; learners need to reach it and to write to it.
c.Exchange.root = {exchange}

# How learners' code is isolated while it is judged: "namespaces", or "uid" where a container allows no namespaces.
c.JudgedAutograde.isolation = "namespaces"
# Submissions judged at the same time; 0: one for each core.
c.JudgedAutograde.workers = 0
# c.JudgedAutograde.scheduler = "tcp://…:8786"  # a Dask cluster judges
'''
_LEARNER = '''"""nbgrader's settings for learners; put it in the folder where Jupyter starts, or in ~/.jupyter/."""

c = get_config()  # noqa: F821: nbgrader puts it there
c.CourseDirectory.course_id = {course_id}
c.Exchange.root = {exchange}
# Runs and their checkpoints are not handed in: they are large, and nobody grades them.
c.CourseDirectory.ignore = [
    ".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "runs", "wandb", ".history",
    ".progress.json*",
]
c.CourseDirectory.max_dir_size = 100_000_000
# `nbgrader validate` runs a notebook's cells; torch takes its time on a slow machine, and a training takes longer.
c.Execute.timeout = 3600
c.Execute.iopub_timeout = 120
'''


def new_course(
    folder: Path,
    course_id: str = "rlhf",
    exchange: Path | None = None,
    part_names: Sequence[str] = (),
    root: Path = REPOSITORY,
    course_file: Path | None = None,
    assignments: Mapping[str, frozenset[int]] | None = None,
) -> list[Path]:
    """Write a course's folder: settings, an assignment's source for each part, settings for learners, and a secret.

    A `course.toml` that is in the folder already is kept, and the sources follow it.

    The hidden tests draw their inputs from the secret, so nobody knows them, and another course has others.

    Args:
        folder: The course's folder, which must not exist, be empty, or hold only a `course.toml`.
        course_id: The name of the course in nbgrader.
        exchange: The folder that instructor and learners share; None for `exchange/` in the course's folder.
        part_names: The names of the parts, each of which becomes an assignment; nothing for those of the `course.toml`.
        root: The repository that holds `solutions/`.
        course_file: A `course.toml` to copy to the folder; None for the one in the folder, or else a new one.
        assignments: The numbers of the notebooks of each assignment; None to make an assignment of each part.

    Returns:
        The paths of the written files below the folder.

    Raises:
        CourseError: The folder is not empty, nbgrader does not accept the name, the `course.toml` has a wrong entry,
            `root` holds no solutions, or no part has such a notebook.
    """
    if folder.exists() and (not folder.is_dir() or any(path.name != COURSE_FILE for path in folder.iterdir())):
        raise CourseError(f"{folder} exists already and is not empty: name a new folder")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", course_id):
        raise CourseError(f"a course id holds letters, digits, - and _ only, got {course_id!r}")
    if not (root / "solutions").is_dir():
        raise CourseError(f"{root} holds no solutions/: run new-course in a clone of the repository")
    settings = _settings_text(folder / COURSE_FILE, course_file, list(assignments or ()))
    course = parse_course_file(settings, course_file or folder / COURSE_FILE)
    exchange = (exchange or folder / "exchange").resolve()
    names = {"course_id": json.dumps(course_id), "exchange": json.dumps(str(exchange))}
    sources = assignment_sources(root, course.parts(part_names), assignments)
    files = {Path("source") / path: content for path, content in sources.items()}
    files[Path("nbgrader_config.py")] = _INSTRUCTOR.format(**names).encode()
    files[Path(COURSE_FILE)] = settings
    files[Path("for_learners/nbgrader_config.py")] = _LEARNER.format(**names).encode()
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    create_secret(folder / STATE_FOLDER / "secret")
    if not exchange.is_relative_to(folder.resolve()):
        # The folder holds solutions and marks, and many systems let every account read the homes of others.
        os.chmod(folder, 0o700)
    if not exchange.exists():
        exchange.mkdir(parents=True)
        # Learners hand in under their own accounts, so nbgrader needs a folder that everybody may write to.
        os.chmod(exchange, 0o777)
    return sorted(files)


def _settings_text(own_file: Path, course_file: Path | None, assignments: Sequence[str]) -> bytes:
    """Return the content of the new course's `course.toml`.

    Raises:
        CourseError: The named file cannot be read, or the folder has another one.
    """
    has_own = os.path.lexists(own_file)
    if course_file is None and not has_own:
        return course_file_template(assignments=assignments).encode()
    if course_file is not None and has_own and own_file.resolve() != course_file.resolve():
        raise CourseError(f"{own_file} exists already: leave --course out, or remove it")
    path = course_file or own_file
    try:
        return path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}") from error
