"""Write everything that a learner without nbgrader needs to one zip, for `rlhf-course release --bundle`."""

import re
from collections.abc import Sequence
from pathlib import Path

from rlhf_course.building.build import built_files
from rlhf_course.building.course_changes import change_files, given_files
from rlhf_course.course import DEFAULT_PART, PARTS, Part, left_out_of
from rlhf_course.errors import CourseError
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.archive import files_below, write_zip
from rlhf_course.releasing.leaks import leaks

TOP = Path("rlhf-course")
# Packages that only instructors need.
INSTRUCTOR_PACKAGES = (
    "building",
    "class_list",
    "course_file",
    "grading",
    "late_work.py",
    "nbgrader_course",
    "releasing",
    "similarity",
    "toml_file.py",
)
_ENVIRONMENT_FILES = ("LICENSE", "pyproject.toml", "requirements.lock", "environment.yml", "utils/setup.sh")
_FOR_LEARNERS = Path(__file__).parent / "for_learners"
# The README's text between such marks is for some bundles: `<!-- self-study -->`, `<!-- class -->`, a part's name, or
# several of them with a plus sign between.
_MARKED = re.compile(r"<!-- ([\w+-]+) -->\n(.*?)<!-- end -->\n", re.DOTALL)


def bundle_files(
    root: Path = REPOSITORY,
    parts: Sequence[Part] = (DEFAULT_PART,),
    self_study: bool = False,
    answered: Sequence[Part] = (),
) -> dict[Path, bytes]:
    """Return the bundle's files by path: the built notebooks and stubs, the package, and the files to install it.

    Args:
        root: The repository.
        parts: The parts whose notebooks, stubs and checks the bundle holds. The files of exercises that a course leaves
            out hold the answers.
        self_study: Whether the bundle also holds the answers, in `solutions/`.
        answered: Other parts, whose files hold the answers, for the code of the parts that are released. The bundle
            has no notebook of these.

    Raises:
        CourseError: A file for learners holds an answer, a known mistake or a hidden test.
    """
    package = Path("utils/rlhf_course")
    released, filled_in = {part.name for part in parts}, {part.name for part in answered}
    others = [part for part in PARTS if part.name not in released]
    excluded = [package / name for name in INSTRUCTOR_PACKAGES]
    for part in others:
        if part.name in filled_in:
            continue
        excluded += [package / "checks" / part.name, Path("notebooks") / part.name]
    built = change_files(built_files(root), parts, root)
    files = files_below(root, *_ENVIRONMENT_FILES, str(package)) | built
    files = {
        path: content
        for path, content in files.items()
        if not any(map(path.is_relative_to, excluded)) and not _is_notebook_of(path, others)
    }
    files |= {path.relative_to(_FOR_LEARNERS): path.read_bytes() for path in _FOR_LEARNERS.iterdir() if path.is_file()}
    files[Path("README.md")] = readme(files[Path("README.md")].decode(), parts, self_study, answered).encode()
    given = [exercise for part in parts for exercise in left_out_of(part)]
    given += [exercise for part in answered for exercise in part.exercises]
    files |= {Path("notebooks") / path: content for path, content in given_files(root, given).items()}
    if leaked := leaks(files, root, given):
        raise CourseError(
            "the bundle would hold answers, known mistakes or hidden tests; remove them from these files:\n  "
            + "\n  ".join(leaked[:10])
        )
    if self_study:
        files |= files_below(root, *(f"solutions/{part.name}" for part in parts), "solutions/lean.py")
    return {TOP / path: content for path, content in files.items()}


def readme(
    text: str, parts: Sequence[Part] = (DEFAULT_PART,), self_study: bool = False, answered: Sequence[Part] = ()
) -> str:
    """Return the README of a bundle of some parts: without the text that is marked for other parts or kinds.

    `EXERCISE` in the text becomes the name of the first exercise that is a function, whose check has an example.
    """
    kept = {"self-study" if self_study else "class", *(part.name for part in parts)}
    kept |= {f"answered-{part.name}" for part in answered}
    shown = _MARKED.sub(lambda marked: marked[2] if kept.issuperset(marked[1].split("+")) else "", text)
    exercises = [exercise for part in parts for exercise in part.exercises]
    functions = [exercise for exercise in exercises if exercise.module == exercise.name]
    return shown.replace("EXERCISE", next(iter(functions or exercises)).name)


def _is_notebook_of(path: Path, parts: Sequence[Part]) -> bool:
    return path.suffix == ".ipynb" and any(part.has_notebook(path.stem) for part in parts)


def write_bundle(
    target: Path,
    parts: Sequence[Part] = (DEFAULT_PART,),
    root: Path = REPOSITORY,
    self_study: bool = False,
    answered: Sequence[Part] = (),
) -> int:
    """Write the bundle of some parts, and return the number of its files.

    Args:
        target: The zip to write.
        parts: The parts whose notebooks, stubs and checks the bundle holds.
        root: The repository.
        self_study: Whether the bundle also holds the answers, in `solutions/`.
        answered: Other parts, whose files hold the answers.

    Raises:
        CourseError: A part is both released and answered, the repository holds no solutions, a file for learners
            holds an answer, a known mistake or a hidden test, or the zip cannot be written.
    """
    if both := [part.name for part in answered if part.name in {released.name for released in parts}]:
        raise CourseError(
            f"{both[0]} is both released and filled in with answers: name it with --part or with --with-answers"
        )
    if not (root / "solutions").is_dir():
        raise CourseError(f"{root} holds no solutions/: run release in a clone of the repository")
    files = bundle_files(root, parts, self_study, answered)
    write_zip(target, files)
    return len(files)
