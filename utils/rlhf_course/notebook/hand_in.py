"""Write the zip that a learner hands in."""

import zipfile
from pathlib import Path

from rlhf_course.errors import CourseError
from rlhf_course.files import atomic_write
from rlhf_course.learner_package import parts_in
from rlhf_course.notebook import workspace
from rlhf_course.notebook.exercise_progress import PASSED, passed, read_progress
from rlhf_course.notebook.messages import join_names, show_message


def hand_in(file: str | Path = "my_answers.zip") -> None:
    """Write a zip of what is graded: the Python files of each part, and the notebooks.

    Data files, runs, caches and the earlier texts in `.history/` stay out: the grader does not read them.

    Args:
        file: The zip to write, whose name ends in .zip; an earlier one is replaced.
    """
    try:
        target = _zip_path(file)
        home = workspace.find_workspace()
        files = sorted(home.glob("*.ipynb"))
        for part in parts_in(home):
            files += sorted((home / part.name).rglob("*.py"))
        shown = [path for path in files if not _is_hidden(path.relative_to(home))]
        kept = [path for path in shown if path.is_file()]  # A link that leads nowhere is none, and a folder is none.
        left_out = [path.relative_to(home).as_posix() for path in shown if path not in kept]
        # A zip holds no time before 1980; such a file gets that year.
        with (
            atomic_write(target) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive,
        ):
            for path in kept:
                archive.write(path, Path("notebooks") / path.relative_to(home))
        rows = read_progress()
    except (CourseError, OSError, UnicodeEncodeError) as error:
        show_message(f"hand_in: {error}", status="error")
        return
    open_exercises = [row.exercise for row in rows if row.status != PASSED]
    show_message(
        f"{file}: {len(kept)} files, with {passed(rows)} of {len(rows)} exercises passed.",
        *([f"Not passed, or changed since the check: {join_names(open_exercises)}."] if open_exercises else []),
        "If somebody grades your answers, hand in this file.",
        "A notebook is in it as it was saved last.",
        *([f"Left out, since no file is there: {join_names(left_out)}."] if left_out else []),
    )


def _zip_path(file: object) -> Path:
    """Return the path of the zip to write.

    Raises:
        CourseError: It is not the name of a zip in a folder that exists.
    """
    path = Path(file) if isinstance(file, str | Path) else Path()
    if path.suffix.lower() != ".zip" or "\0" in str(path):
        raise CourseError(
            f'{file!r} is not the name of a zip. Write a name that ends in .zip: hand_in("my_answers.zip")'
        )
    if path.is_dir():
        raise CourseError(f"{path} is a folder. Write another name.")
    if not path.parent.is_dir():
        raise CourseError(f"there is no folder {path.parent}. Make it first, or write another name.")
    return path


def _is_hidden(path: Path) -> bool:
    return any(name.startswith(".") or name == "__pycache__" for name in path.parts)
