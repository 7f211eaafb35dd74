"""Run `nbgrader autograde` with the course's judge; no cell of a learner is executed."""

import fnmatch
import glob
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from filelock import Timeout
from nbconvert.exporters import NotebookExporter
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import (
    CheckCellMetadata,
    LimitOutput,
    OverwriteKernelspec,
    SaveAutoGrades,
)
from traitlets import Enum, Float, Integer, List, Type, Unicode

from rlhf_course.course import BY_NAME, DEFAULT_PART, EXERCISES, PARTS_BY_NAME, Part
from rlhf_course.errors import CourseError
from rlhf_course.files import file_lock
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox.isolation import Level
from rlhf_course.grading.submissions.limited_process import LimitedProcess
from rlhf_course.nbgrader_course.cells import Release, grade_ids
from rlhf_course.nbgrader_course.judging import Judgement, Settings, judge_folders
from rlhf_course.nbgrader_course.late import AssignCourseLatePenalties, course_of
from rlhf_course.nbgrader_course.new_course import STATE_FOLDER
from rlhf_course.nbgrader_course.notebook_file import read_notebook
from rlhf_course.nbgrader_course.preprocessors import (
    CHECK_PREFIX,
    CleanContent,
    FlagForReview,
    JudgeAnswers,
    RestoreCells,
)
from rlhf_course.nbgrader_course.releases import read_releases

# The longest name of a file on the file systems of Linux.
_MAX_NAME_BYTES = 255
# The largest number of notebooks of a submission that are read though they are none of the assignment's.
_MAX_COPIES = 20


class TolerantExporter(NotebookExporter):
    """Read a learner's notebook even if the file is damaged; the problem is stored in `resources`."""

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> tuple[NotebookNode, dict[str, Any]]:
        """Convert a file; see the class."""
        converter = cast("JudgedAutograde", self.parent)
        notebook, problem = read_notebook(filename, converter.reading_process)
        resources = {} if resources is None else resources
        path = Path(filename)
        copies = converter.copies.get(path.stem, {})
        if problem is not None and copies:
            name = next(iter(copies))
            notebook = copies.pop(name)
            resources["nbgrader"]["notes"] = [problem, f"{name} holds its cells and is used in its place."]
            problem = None
        resources["metadata"] = {
            "name": path.stem,
            "path": str(path.parent),
            "modified_date": f"{datetime.now(UTC):%B %d, %Y}",
        }
        if problem is not None:
            resources["nbgrader"]["problem"] = problem
        return self.from_notebook_node(notebook, resources=resources, **kw)


class JudgedAutograde(Autograde):
    """nbgrader's autograding, with the judge in place of execution.

    First the judge grades the answers of the whole class on all cores, each answer in a sandbox of its own, and caches
    the results by content. Then nbgrader goes through the submissions one by one: it restores the released cells, shows
    the judge's result in the cell of each check, and saves the scores in the gradebook. A problem with one submission
    becomes a note on that submission and does not stop the others. One process at a time writes a submission; if it is
    killed meanwhile, the next run does that submission again.
    """

    isolation = Enum(
        ["namespaces", "uid", "unsafe"], default_value="namespaces", help="How the judge isolates learners' code."
    ).tag(config=True)
    workers = Integer(0, help="Submissions judged at the same time; 0: one for each core.").tag(config=True)
    timeout = Float(ResourceLimits.timeout, help="Seconds that one call of a learner's function may take.").tag(
        config=True
    )
    submission_timeout = Float(
        ResourceLimits.submission_timeout, help="Seconds after which no further call of a submission is made."
    ).tag(config=True)
    scheduler = Unicode("", help="Address of a Dask scheduler whose workers judge; empty: this machine.").tag(
        config=True
    )

    exporter_class = Type(TolerantExporter, klass=NotebookExporter).tag(config=True)
    exclude_overwriting: dict[str, list[str]]
    notebooks: list[str]
    sanitize_preprocessors = List([OverwriteKernelspec, RestoreCells, CheckCellMetadata]).tag(config=True)
    autograde_preprocessors = List(
        [
            JudgeAnswers,
            ClearMetadataPreprocessor,
            LimitOutput,
            SaveAutoGrades,
            FlagForReview,
            AssignCourseLatePenalties,
            CleanContent,
            CheckCellMetadata,
        ]
    ).tag(config=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reading_process = LimitedProcess()
        self.judgements: dict[str, Judgement] = {}
        self.judgement = Judgement(None, "Grading did not reach this submission.")
        self.answers: Mapping[str, str] = {}
        self.notes: list[str] = []
        # Submitted notebooks that are none of the assignment's, by the assignment's notebook whose cells they hold.
        self.copies: dict[str, dict[str, NotebookNode]] = {}
        self.to_review: set[str] = set()

    # The submissions.

    def init_notebooks(self) -> None:
        """Find the submissions, with those that have no notebook, since their answers may be in files."""
        folders = filter(
            os.path.isdir, glob.glob(self._format_source(self.coursedir.assignment_id, self.coursedir.student_id))
        )
        notebooks = {
            folder: glob.glob(os.path.join(glob.escape(folder), f"{self.coursedir.notebook_id}.ipynb"))
            for folder in folders
        }
        if any(notebooks.values()) or not notebooks:
            super().init_notebooks()
        self.assignments = notebooks

    def convert_notebooks(self) -> None:
        """Judge the class, then write one submission after the other.

        Raises:
            NbGraderException: The judge cannot run on this machine, or nbgrader failed on some submissions; all other
                submissions are graded.
        """
        submissions, failed = dict(sorted(self.assignments.items())), []
        self._remove_unfinished(submissions)
        pending = {folder: Path(folder) for folder in submissions if self._is_pending(folder)}
        try:
            self.judgements = judge_folders(
                pending, self._settings(), self.log, self._parts(self.coursedir.assignment_id)
            )
        except CourseError as error:
            self.log.error(str(error))
            raise NbGraderException(str(error)) from error
        with self.reading_process:
            for folder, notebooks in submissions.items():
                self.assignments = {folder: notebooks}
                with self._writing(folder):
                    try:
                        super().convert_notebooks()
                    except NbGraderException:
                        failed.append("/".join(reversed(self._ids(folder))))
        if failed:
            self.log.error("nbgrader failed on %s, see above; all other submissions are graded", ", ".join(failed))
            raise NbGraderException(f"nbgrader failed on {', '.join(failed)}")

    def _settings(self) -> Settings:
        state = Path(self.coursedir.root) / STATE_FOLDER
        return Settings(
            state / "results",
            state / "secret",
            cast(Level, self.isolation),
            self.workers or None,
            ResourceLimits(self.timeout, submission_timeout=self.submission_timeout),
            self.scheduler or None,
        )

    def _ids(self, folder: str) -> tuple[str, str]:
        """Return the assignment and the learner of a submission's folder."""
        match = re.fullmatch(self._format_source("(?P<assignment>.*)", "(?P<student>.*)", escape=True), folder)
        if match is None:
            raise NbGraderException(f"{folder} is not the folder of a submission in this course")
        return match["assignment"], match["student"]

    def _is_pending(self, folder: str) -> bool:
        """Return whether to grade a submission now: it is not graded, it is newer, or the command forces it."""
        autograded = self._format_dest(*self._ids(folder))
        if self.force or not os.path.isdir(autograded) or self.coursedir.notebook_id != "*":
            return True
        submitted, graded = (self.coursedir.get_existing_timestamp(path) for path in (folder, autograded))
        return submitted is not None and graded is not None and submitted > graded

    # One submission.

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        """Start a submission: list all notebooks of the assignment, even missing ones, and keep the learner's files."""
        folder = self._format_source(assignment_id, student_id)
        self.judgement = self.judgements.get(folder) or Judgement(
            None, "It was handed in after judging had started: autograde it again."
        )
        self.answers = self.judgement.answers
        self.exclude_overwriting = {**self.exclude_overwriting, assignment_id: self._files_of_learners(assignment_id)}
        known = self._known_notebooks(assignment_id)
        self.notes = list(self.judgement.notes)
        self.copies = self._read_copies(Path(folder), known)
        chosen = [name for name in known if fnmatch.fnmatch(name, self.coursedir.notebook_id)]
        self.notebooks = [os.path.join(folder, f"{name}.ipynb") for name in sorted(chosen)]
        for note in self.notes:
            self.log.warning("%s: %s", student_id, note)
        super().init_assignment(assignment_id, student_id)

    def _files_of_learners(self, assignment_id: str) -> list[str]:
        """Return the files that learners write, which nbgrader would otherwise replace by the released files."""
        return [*self.exclude_overwriting.get(assignment_id, []), *(exercise.path for exercise in EXERCISES)]

    def _parts(self, assignment_id: str) -> tuple[Part, ...]:
        """Return the parts whose checks an assignment holds; if it holds none, the part that it is named after."""
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            try:
                notebooks = gradebook.find_assignment(assignment_id).notebooks
                cells = [cell.name for notebook in notebooks for cell in notebook.grade_cells]
            except MissingEntry:
                cells = []
        exercises = {cell.removeprefix(CHECK_PREFIX) for cell in cells if cell.startswith(CHECK_PREFIX)}
        names = {BY_NAME[exercise].part for exercise in exercises & BY_NAME.keys()}
        return course_of(self).parts(sorted(names) or [PARTS_BY_NAME.get(assignment_id, DEFAULT_PART).name])

    def _known_notebooks(self, assignment_id: str) -> dict[str, set[str]]:
        """Return the names of the assignment's notebooks, each with the names of its cells."""
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            try:
                notebooks = gradebook.find_assignment(assignment_id).notebooks
                return {notebook.name: {cell.name for cell in notebook.source_cells} for notebook in notebooks}
            except MissingEntry:
                return {}

    def _read_copies(self, folder: Path, known: Mapping[str, set[str]]) -> dict[str, dict[str, NotebookNode]]:
        """Read the submitted notebooks that are none of the assignment's, such as renamed ones.

        Args:
            folder: The submission.
            known: The names of the assignment's notebooks, each with the names of its cells.

        Returns:
            By notebook of the assignment, the notebooks that hold most cells of it, by their paths in the submission.
        """
        copies: dict[str, dict[str, NotebookNode]] = {}
        paths = [path.relative_to(folder) for path in sorted(folder.rglob("*.ipynb"))]
        names = {str(path) for path in paths if not any(part.startswith(".") for part in path.parts)}
        unknown = sorted(names - {f"{name}.ipynb" for name in known})
        for name in unknown[:_MAX_COPIES]:
            notebook, _ = read_notebook(str(folder / name), self.reading_process)
            ids = grade_ids(notebook.cells)
            original = max(known, key=lambda other: len(ids & known[other]), default=None)
            if original is None or not ids & known[original]:
                self.notes.append(f"{name} is not a notebook of this assignment.")
            else:
                copies.setdefault(original, {})[name] = notebook
        if unknown[_MAX_COPIES:]:
            self.notes.append(f"{len(unknown) - _MAX_COPIES} more notebooks are none of this assignment.")
        return copies

    def releases(self, assignment_id: str, notebook: str) -> list[Release]:
        """Return the releases of a notebook, the newest first."""
        folder = self.coursedir.format_path(self.coursedir.release_directory, ".", assignment_id)
        return read_releases(Path(self.coursedir.root) / STATE_FOLDER, assignment_id, notebook, Path(folder))

    # One process writes at a time, and a submission whose writing was interrupted is graded again.

    @contextmanager
    def _writing(self, folder: str) -> Iterator[None]:
        """Hold the lock while a submission is written, and a marker file that stays if this process is killed."""
        marker = self._marker(folder)
        marker.parent.mkdir(parents=True, exist_ok=True)
        with self._lock():
            self._remove_if_unfinished(folder)
            marker.touch()
            yield
            marker.unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        state = Path(self.coursedir.root) / STATE_FOLDER
        state.mkdir(exist_ok=True)
        lock = file_lock(state / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self.log.info("Another process writes to the gradebook; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _remove_unfinished(self, folders: Iterable[str]) -> None:
        """Delete the graded submissions that killed processes left incomplete, so that they are graded again."""
        with self._lock():
            for folder in folders:
                self._remove_if_unfinished(folder)

    def _remove_if_unfinished(self, folder: str) -> None:
        marker = self._marker(folder)
        if marker.exists():
            autograded = self._format_dest(*self._ids(folder))
            self.log.warning("Grading of %s was interrupted; it is graded again", autograded)
            shutil.rmtree(autograded, ignore_errors=True)
            marker.unlink()

    def _marker(self, folder: str) -> Path:
        name = "+".join(self._ids(folder))
        if len(name.encode()) > _MAX_NAME_BYTES:
            name = hashlib.sha256(name.encode()).hexdigest()
        return Path(self.coursedir.root) / STATE_FOLDER / "unfinished" / name
