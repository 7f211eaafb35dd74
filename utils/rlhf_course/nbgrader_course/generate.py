"""`nbgrader generate_assignment`, which clears notebooks alone, made safe for the files beside them."""

import shutil
from pathlib import Path

from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException

from rlhf_course.course import EXERCISES
from rlhf_course.learner_package import PACKAGE
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.leaks import leaks
from rlhf_course.stubs import stub_of


class StubbedAssignment(GenerateAssignment):
    """Releases the exercises' files as stubs, whatever the source holds, and nothing that learners are to find out.

    An instructor who runs an exercise's cell in the source saves its solution to the file beside the notebook; nbgrader would release it.
    """

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        """Copy the files beside the notebooks; see the class."""
        super().init_assignment(assignment_id, student_id)
        folder = Path(self._format_dest(assignment_id, student_id)) / PACKAGE
        for exercise in EXERCISES:
            path, stub = folder / exercise.file, stub_of(exercise)
            if path.is_file() and path.read_text(encoding="utf-8") != stub:
                self.log.warning("%s in the source is not the stub; the stub is released", f"{PACKAGE}/{exercise.file}")
                path.write_text(stub, encoding="utf-8")

    def set_permissions(self, assignment_id: str, student_id: str) -> None:
        """Finish a release.

        Raises:
            NbGraderException: it holds an answer, a known mistake or a hidden test; it is taken away again.
        """
        super().set_permissions(assignment_id, student_id)
        folder = Path(self._format_dest(assignment_id, student_id))
        files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        if found := leaks(files, REPOSITORY):
            shutil.rmtree(folder)
            raise NbGraderException(
                "the release would give away what learners are to find out, and is removed:\n  "
                + "\n  ".join(found[:10])
            )
