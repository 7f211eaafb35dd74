"""`nbgrader autograde` with the course's judge: no cell of a learner is executed."""

import fnmatch
import glob
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from nbconvert.exporters import NotebookExporter
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    LimitOutput,
    OverwriteKernelspec,
    SaveAutoGrades,
)
from traitlets import Enum, Float, Integer, List, Type, Unicode

from rlhf_course.course import EXERCISES
from rlhf_course.errors import CourseError
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, read_submission
from rlhf_course.learner_package import PACKAGE
from rlhf_course.nbgrader_course.cells import read_notebook
from rlhf_course.nbgrader_course.judging import Judgement, Settings, judge_folders
from rlhf_course.nbgrader_course.preprocessors import FlagForAPerson, JudgeAnswers, RestoreCells

# Kept beside the gradebook: the lock, the marks of submissions that are being written, and the judge's results.
DESK = ".rlhf_course"


class TolerantExporter(NotebookExporter):
    """Reads whatever a learner handed in under a notebook's name, or nothing; what was wrong with it goes to `resources`."""

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> tuple[str, Any]:
        """Convert a file; see the class."""
        notebook, problem = read_notebook(filename)
        resources = {} if resources is None else resources
        where = Path(filename)
        resources["metadata"] = {
            "name": where.stem,
            "path": str(where.parent),
            "modified_date": f"{datetime.now(UTC):%B %d, %Y}",
        }
        if problem is not None:
            resources["nbgrader"]["problem"] = problem
        return self.from_notebook_node(notebook, resources=resources, **kw)


class JudgedAutograde(Autograde):
    """nbgrader's autograding, with the judge in place of execution.

    The class's answers are judged first, on all cores, each in a sandbox of its own; results are kept by content. Then nbgrader goes
    through the submissions one by one: cells are brought back to the release's, each check's cell shows what the judge found, and
    scores go to the gradebook. What is wrong with a submission is a note on it and stops no other. One process at a time writes a
    submission, and what a process that was killed left half done is done anew.
    """

    isolation = Enum(
        ["namespaces", "uid", "unsafe"], default_value="namespaces", help="How the judge locks learners' code in."
    ).tag(config=True)
    workers = Integer(0, help="Submissions judged at once; 0: one for each core.").tag(config=True)
    timeout = Float(0.0, help="Seconds that an exercise may take; 0: the judge's own limit.").tag(config=True)
    scheduler = Unicode("", help="Address of a Dask scheduler whose workers judge; empty: this machine.").tag(
        config=True
    )

    exporter_class = Type(TolerantExporter, klass=NotebookExporter).tag(config=True)
    sanitize_preprocessors = List([OverwriteKernelspec, RestoreCells, CheckCellMetadata]).tag(config=True)
    autograde_preprocessors = List(
        [
            JudgeAnswers,
            ClearMetadataPreprocessor,
            LimitOutput,
            SaveAutoGrades,
            FlagForAPerson,
            AssignLatePenalties,
            CheckCellMetadata,
        ]
    ).tag(config=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.judgements: dict[str, Judgement] = {}
        self.judgement = Judgement(None, "It was not reached.")
        self.answers: Mapping[str, str] = {}
        self.notes: list[str] = []
        self.to_review: set[str] = set()

    # Which submissions.

    def init_notebooks(self) -> None:
        """Find the submissions, those without any notebook included: their answers may be in files."""
        folders = filter(
            os.path.isdir, glob.glob(self._format_source(self.coursedir.assignment_id, self.coursedir.student_id))
        )
        found = {
            folder: glob.glob(os.path.join(glob.escape(folder), f"{self.coursedir.notebook_id}.ipynb"))
            for folder in folders
        }
        if any(found.values()) or not found:
            super().init_notebooks()
        self.assignments = found

    def convert_notebooks(self) -> None:
        """Judge the class, then write one submission after the other.

        Raises:
            NbGraderException: the judge cannot work here, or nbgrader failed on some submissions; the others are done.
        """
        submissions, failed = dict(sorted(self.assignments.items())), []
        self._forget_unfinished(submissions)
        try:
            self.judgements = judge_folders(
                {folder: Path(folder) for folder in submissions if self._is_pending(folder)}, self._settings(), self.log
            )
        except CourseError as error:
            self.log.error(str(error))
            raise NbGraderException(str(error)) from error
        for folder, notebooks in submissions.items():
            self.assignments = {folder: notebooks}
            with self._alone(folder):
                try:
                    super().convert_notebooks()
                except NbGraderException:
                    failed.append("/".join(reversed(self._ids(folder))))
        if failed:
            self.log.error("nbgrader failed on %s, see above; all other submissions are graded", ", ".join(failed))
            raise NbGraderException(f"nbgrader failed on {', '.join(failed)}")

    def _settings(self) -> Settings:
        return Settings(
            Path(self.coursedir.root) / DESK / "results",
            self.isolation,
            self.workers or None,
            self.timeout or None,
            self.scheduler or None,
        )

    def _ids(self, folder: str) -> tuple[str, str]:
        """Assignment and learner of a submission's folder."""
        found = re.fullmatch(self._format_source("(?P<assignment>.*)", "(?P<student>.*)", escape=True), folder)
        if found is None:
            raise NbGraderException(f"{folder} is no submission's folder in this course")
        return found["assignment"], found["student"]

    def _is_pending(self, folder: str) -> bool:
        """Whether a submission is to be graded now: it never was, is newer, or is asked for again."""
        done = self._format_dest(*self._ids(folder))
        if self.force or not os.path.isdir(done) or self.coursedir.notebook_id != "*":
            return True
        handed_in, graded = self.coursedir.get_existing_timestamp(folder), self.coursedir.get_existing_timestamp(done)
        return handed_in is not None and graded is not None and handed_in > graded

    # One submission.

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        """Start a submission: every notebook of the assignment is gone through, handed in or not, and the learner's own files stay."""
        folder = self._format_source(assignment_id, student_id)
        self.judgement = self.judgements.get(folder) or Judgement(
            None, "It came while others were judged: autograde it again."
        )
        self.answers = read_submission(SubmissionPath(student_id, Path(folder))).files
        self.exclude_overwriting = {**self.exclude_overwriting, assignment_id: self._files_of_learners(assignment_id)}
        known = self._known_notebooks(assignment_id)
        handed_in = {Path(path).stem: path for path in self.notebooks}
        strangers = sorted(set(handed_in) - set(known))
        self.notes = [
            *self.judgement.notes,
            *(f"{name}.ipynb is no notebook of this assignment." for name in strangers),
        ]
        chosen = [name for name in known if fnmatch.fnmatch(name, self.coursedir.notebook_id)]
        self.notebooks = [os.path.join(folder, f"{name}.ipynb") for name in sorted(chosen)]
        for note in self.notes:
            self.log.warning("%s: %s", student_id, note)
        super().init_assignment(assignment_id, student_id)

    def _files_of_learners(self, assignment_id: str) -> list[str]:
        """Files that learners write: nbgrader would put the release's in their place."""
        return [
            *self.exclude_overwriting.get(assignment_id, []),
            *(f"{PACKAGE}/{exercise.file}" for exercise in EXERCISES),
        ]

    def _known_notebooks(self, assignment_id: str) -> list[str]:
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            try:
                return [notebook.name for notebook in gradebook.find_assignment(assignment_id).notebooks]
            except MissingEntry:
                return []

    # One process at a time, and nothing half done.

    @contextmanager
    def _alone(self, folder: str) -> Iterator[None]:
        """Be the only process that writes a submission, and leave a mark while it is written."""
        mark = self._mark(folder)
        mark.parent.mkdir(parents=True, exist_ok=True)
        with self._lock():
            self._forget(folder)
            mark.touch()
            yield
            mark.unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        desk = Path(self.coursedir.root) / DESK
        desk.mkdir(exist_ok=True)
        lock = FileLock(desk / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self.log.info("Another process writes to the gradebook; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _forget_unfinished(self, folders: dict[str, list[str]]) -> None:
        """Take away what a process that was killed left half done, so that it is not taken for done."""
        with self._lock():
            for folder in folders:
                self._forget(folder)

    def _forget(self, folder: str) -> None:
        mark = self._mark(folder)
        if mark.exists():
            done = self._format_dest(*self._ids(folder))
            self.log.warning("Grading of %s was interrupted; it is done anew", done)
            shutil.rmtree(done, ignore_errors=True)
            mark.unlink()

    def _mark(self, folder: str) -> Path:
        return Path(self.coursedir.root) / DESK / "unfinished" / "+".join(self._ids(folder))
