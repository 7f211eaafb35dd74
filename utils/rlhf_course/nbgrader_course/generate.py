"""Let `nbgrader generate_assignment` release stubs also in the files beside the notebooks."""

import shutil
from pathlib import Path

from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException

from rlhf_course.course import EXERCISES
from rlhf_course.nbgrader_course.new_course import STATE_FOLDER
from rlhf_course.nbgrader_course.releases import record_releases
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.leaks import leaks
from rlhf_course.stubs import stub_of


class StubbedAssignment(GenerateAssignment):
    """Release the exercises' files as stubs, and refuse a release that holds an answer.

    An instructor who runs an exercise's cell in the source saves the solution to the file beside the notebook, and
    nbgrader would release that file.
    """

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        """Copy the files beside the notebooks; see the class."""
        super().init_assignment(assignment_id, student_id)
        folder = Path(self._format_dest(assignment_id, student_id))
        for exercise in EXERCISES:
            path, stub = folder / exercise.path, stub_of(exercise)
            if path.is_file() and path.read_text(encoding="utf-8") != stub:
                self.log.warning("%s in the source is not the stub; the stub is released", exercise.path)
                path.write_text(stub, encoding="utf-8")

    def set_permissions(self, assignment_id: str, student_id: str) -> None:
        """Finish a release.

        Raises:
            NbGraderException: The release holds an answer, a known mistake or a hidden test; it is deleted again.
        """
        super().set_permissions(assignment_id, student_id)
        folder = Path(self._format_dest(assignment_id, student_id))
        files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        if leaked := leaks(files, REPOSITORY):
            shutil.rmtree(folder)
            raise NbGraderException(
                "the release was deleted, since it held answers, known mistakes or hidden tests; remove them from "
                "source/:\n  " + "\n  ".join(leaked[:10])
            )
        record_releases(Path(self.coursedir.root) / STATE_FOLDER, assignment_id, folder)
