"""Write the archive that Gradescope unpacks and runs for each submission, for `rlhf-course release --gradescope`."""

from collections.abc import Sequence
from pathlib import Path

from rlhf_course.course import DEFAULT_PART, PARTS, Part
from rlhf_course.course_file import COURSE_FILE
from rlhf_course.errors import CourseError
from rlhf_course.grading.secret import format_secret, new_secret
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.archive import files_below, write_zip

# The folder of the archive that holds the course's files. The judge needs the reference and the hidden tests.
COURSE = Path("course")
SECRET = "secret"
_CONTENTS = (
    "LICENSE",
    "pyproject.toml",
    "requirements.lock",
    "utils/rlhf_course",
    *(f"solutions/{part.name}" for part in PARTS),
    "tests/hidden",
)

_SETUP = """#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the autograder's image.
set -euo pipefail
source="$(cd "$(dirname "$0")" && pwd)"
home="$(dirname "$source")"
export DEBIAN_FRONTEND=noninteractive
if ! command -v python3.11 >/dev/null; then
    apt-get update
    apt-get install -y --no-install-recommends software-properties-common
    add-apt-repository -y ppa:deadsnakes/ppa
    apt-get update
    apt-get install -y --no-install-recommends python3.11 python3.11-venv
fi
[ -x "$home/venv/bin/python" ] || python3.11 -m venv "$home/venv"
# The image has no GPU: torch's build for CPUs is a tenth of the size.
torch="$(grep '^torch==' "$source/course/requirements.lock")"
"$home/venv/bin/python" -m pip install --quiet "$torch" --index-url "${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}"
"$home/venv/bin/python" -m pip install --quiet -r "$source/course/requirements.lock"
# Learners' code runs as another user, who must not read these files.
for path in solutions tests secret course.toml; do chmod -R go-rwx "$source/course/$path"; done
"""

_RUN = """#!/usr/bin/env bash
# Gradescope runs this for each submission, beside the folders source/, submission/ and results/.
set -euo pipefail
home="$(cd "$(dirname "$0")" && pwd)"
for path in solutions tests secret course.toml; do chmod -R go-rwx "$home/source/course/$path"; done
chmod -R go-rwx "$home/results"
export PYTHONPATH="$home/source/course/utils" OMP_NUM_THREADS=1
exec "$home/venv/bin/python" -m rlhf_course.releasing.on_gradescope "$home" {parts}
"""


def autograder_files(
    root: Path = REPOSITORY, parts: Sequence[Part] = (DEFAULT_PART,), course_file: Path | None = None
) -> dict[Path, bytes]:
    """Return the archive's files by path, with a new secret for the hidden tests' inputs.

    Args:
        root: The repository.
        parts: The parts that submissions are graded on.
        course_file: The course's `course.toml`, which counts there too; None for none.
    """
    files = {COURSE / path: content for path, content in files_below(root, *_CONTENTS).items()}
    files[COURSE / SECRET] = format_secret(new_secret())
    files[COURSE / COURSE_FILE] = b"" if course_file is None else course_file.read_bytes()
    run = _RUN.replace("{parts}", " ".join(part.name for part in parts))
    return files | {Path("setup.sh"): _SETUP.encode(), Path("run_autograder"): run.encode()}


def write_autograder(
    target: Path,
    parts: Sequence[Part] = (DEFAULT_PART,),
    root: Path = REPOSITORY,
    course_file: Path | None = None,
) -> int:
    """Write the archive, and return the number of its files.

    Args:
        target: The zip to write.
        parts: The parts that submissions are graded on.
        root: The repository.
        course_file: The course's `course.toml`, which counts there too; None for none.

    Raises:
        CourseError: The repository lacks the hidden tests or the solutions, or the zip cannot be written.
    """
    for name in _CONTENTS:
        if not (root / name).exists():
            raise CourseError(f"{root / name} is missing: run release in a clone of the repository")
    files = autograder_files(root, parts, course_file)
    write_zip(target, files)
    return len(files)
