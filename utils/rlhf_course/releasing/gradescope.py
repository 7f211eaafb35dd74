"""`rlhf-course release --gradescope`: an archive that Gradescope unpacks to /autograder/source and runs for each submission."""

from pathlib import Path

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import PACKAGE
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.archive import files_below, write_zip

# The course's files in the archive; the judge needs the reference and the hidden tests.
COURSE = Path("course")
_PARTS = ("LICENSE", "pyproject.toml", "requirements.lock", "utils/rlhf_course", f"solutions/{PACKAGE}", "tests/hidden")

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
# Learners' code runs under a user of its own, which reads nothing of these.
chmod -R go-rwx "$source/course/solutions" "$source/course/tests"
"""

_RUN = """#!/usr/bin/env bash
# Gradescope runs this for each submission; it stands beside source/, submission/ and results/.
set -euo pipefail
home="$(cd "$(dirname "$0")" && pwd)"
chmod -R go-rwx "$home/source/course/solutions" "$home/source/course/tests" "$home/results"
export PYTHONPATH="$home/source/course/utils" OMP_NUM_THREADS=1
exec "$home/venv/bin/python" -m rlhf_course.releasing.on_gradescope "$home"
"""


def autograder_files(root: Path = REPOSITORY) -> dict[Path, bytes]:
    """The archive's files by path."""
    files = {COURSE / path: content for path, content in files_below(root, *_PARTS).items()}
    return files | {Path("setup.sh"): _SETUP.encode(), Path("run_autograder"): _RUN.encode()}


def write_autograder(to: Path, root: Path = REPOSITORY) -> int:
    """Write the archive; returns the number of its files.

    Raises:
        CourseError: the hidden tests or the solutions are not here, or the zip cannot be written.
    """
    for part in _PARTS:
        if not (root / part).exists():
            raise CourseError(f"{root / part} is missing: an autograder is made in a clone of the repository")
    files = autograder_files(root)
    write_zip(to, files)
    return len(files)
