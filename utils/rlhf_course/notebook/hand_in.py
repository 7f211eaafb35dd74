"""Write the zip that a learner hands in."""

import zipfile
from pathlib import Path

from rlhf_course.errors import CourseError
from rlhf_course.files import atomic_write
from rlhf_course.learner_package import parts_in
from rlhf_course.notebook import workspace
from rlhf_course.notebook.exercise_progress import passed, read_progress
from rlhf_course.notebook.messages import show_message


def hand_in(file: str | Path = "my_answers.zip") -> None:
    """Write a zip of what is graded: the Python files of each part, and the notebooks.

    Data files, runs, caches and the earlier texts in `.history/` stay out: the grader does not read them.

    Args:
        file: The zip to write; an earlier one is replaced.
    """
    try:
        home = workspace.find_workspace()
        files = sorted(home.glob("*.ipynb"))
        for part in parts_in(home):
            files += sorted((home / part.name).rglob("*.py"))
        kept = [path for path in files if not _is_hidden(path.relative_to(home))]
        with atomic_write(Path(file)) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in kept:
                archive.write(path, Path("notebooks") / path.relative_to(home))
        rows = read_progress()
    except (CourseError, OSError) as error:
        show_message(f"hand_in: {error}", status="error")
        return
    show_message(
        f"{file}: {len(kept)} files, with {passed(rows)} of {len(rows)} exercises passed.",
        "If somebody grades your answers, hand in this file.",
        "A notebook is in it as it was saved last.",
    )


def _is_hidden(path: Path) -> bool:
    return any(name.startswith(".") or name == "__pycache__" for name in path.parts)
