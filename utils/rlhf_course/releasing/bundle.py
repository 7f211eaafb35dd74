"""`rlhf-course release --bundle`: all that a learner needs outside nbgrader, in one zip."""

from pathlib import Path

from rlhf_course.building.build import built_files
from rlhf_course.errors import CourseError
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.archive import files_below, write_zip
from rlhf_course.releasing.leaks import leaks

TOP = Path("rlhf-course")
# Packages that only an instructor has a use for.
INSTRUCTORS = ("building", "grading", "nbgrader_course", "releasing", "similarity")
_ENVIRONMENT = ("LICENSE", "pyproject.toml", "requirements.lock", "environment.yml")
_FOR_LEARNERS = Path(__file__).parent / "for_learners"


def bundle_files(root: Path = REPOSITORY) -> dict[Path, bytes]:
    """The bundle's files by path: notebooks and stubs built from the solutions, the course's package, and how to install it.

    Raises:
        CourseError: a file holds an answer, a known mistake or a hidden test.
    """
    package = Path("utils/rlhf_course")
    files = files_below(root, *_ENVIRONMENT, str(package))
    files = {
        path: content
        for path, content in files.items()
        if not any(path.is_relative_to(package / name) for name in INSTRUCTORS)
    }
    files |= built_files(root)
    files |= {path.relative_to(_FOR_LEARNERS): path.read_bytes() for path in _FOR_LEARNERS.iterdir() if path.is_file()}
    if found := leaks(files, root):
        raise CourseError("the bundle would give away what learners are to find out:\n  " + "\n  ".join(found[:10]))
    return {TOP / path: content for path, content in files.items()}


def write_bundle(to: Path, root: Path = REPOSITORY) -> int:
    """Write the bundle; returns the number of its files.

    Raises:
        CourseError: see `bundle_files`; or the zip cannot be written.
    """
    if not (root / "solutions").is_dir():
        raise CourseError(f"{root} holds no solutions/: a bundle is made in a clone of the repository")
    files = bundle_files(root)
    write_zip(to, files)
    return len(files)
