#!/bin/sh
# Make a virtual environment and install requirements.lock and the course into it. `make setup` calls this.
# Usage: setup.sh VENV [PYTHON], in the root of the repository. Where PYTHON is absent or empty, the first fitting
# Python is taken.
set -eu
venv=$1
named=${2:-}
needed_megabytes=2500

fail() {
    echo "setup: $*" >&2
    exit 1
}

fits() {
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1
}

python=
[ -n "$named" ] && set -- "$named" || set -- python3.11 python3.12 python3 python
for candidate in "$@"; do
    if fits "$candidate"; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "no Python 3.11 or 3.12 among ${named:-python3.11, python3.12, python3, python}: install one, or name it with PYTHON=/path/to/python"
"$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
    fail "$python has no venv module: install it (on Debian and Ubuntu: apt install python3-venv)"
free_megabytes=$(df -Pm . | awk 'NR == 2 { print $4 }')
[ "$free_megabytes" -ge "$needed_megabytes" ] || [ -d "$venv" ] ||
    fail "too little disk: $free_megabytes MB are free here, and the environment takes $needed_megabytes MB"

echo "setup: installing into $venv with $("$python" --version): about 0.8 GB to download (several GB where pip takes the build of PyTorch for CUDA), 2.3 GB on disk, 2 to 15 minutes"
# Where the locale is not UTF-8, setuptools cannot write the path of a folder with another letter.
[ "$(locale charmap 2>/dev/null)" = UTF-8 ] || { LC_ALL=C.UTF-8 && export LC_ALL; }
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --use-pep517 -r requirements.lock
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -e .
# The path from there, in ASCII: Python reads this file in the locale of whoever starts it.
for file in "$venv"/lib/python*/site-packages/__editable__.rlhf_course-*.pth; do
    echo ../../../../utils >"$file"
done
echo "setup: done"
