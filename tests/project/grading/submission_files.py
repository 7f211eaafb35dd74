"""Make what learners hand in for tests: notebooks, folders and archives, some of them hostile."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from rlhf_course.course import BY_NAME
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, parse_submission
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.stubs import stub_of

ANSWER = "def compute_advantages(values, rewards, prefix_len):\n    return values\n"
OTHER_ANSWER = "def compute_advantages(values, rewards, prefix_len):\n    return rewards\n"
STUB = stub_of(BY_NAME["compute_advantages"])
FILE = "compute_advantages.py"
PATH = f"part1_rlhf/{FILE}"


def read_path(path: Path) -> Submission:
    """Return a submission as grading reads it."""
    return parse_submission(SubmissionPath("ada", path))


def warnings_of(submission: Submission) -> str:
    """Return all warnings of a submission, one a line."""
    return "\n".join(submission.warnings)


def notebook_json(*cells: str | dict[str, object]) -> str:
    """Return the JSON of a notebook; a string becomes a code cell."""
    code_cells = [
        {"cell_type": "code", "metadata": {}, "source": cell} if isinstance(cell, str) else cell for cell in cells
    ]
    return json.dumps({"cells": code_cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def exercise_cell(text: str, name: str = "compute_advantages") -> str:
    """Return the text of an exercise's cell."""
    return f"%%exercise {name}\n{text}"


def write_folder(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files to a folder, and return it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def write_zip(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a zip with these files, and return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: Mapping[str, str | bytes | tarfile.TarInfo]) -> Path:
    """Write a tar, compressed as its suffix says, and return its path; a TarInfo becomes a member without content."""
    with tarfile.open(path, {".gz": "w:gz", ".bz2": "w:bz2"}.get(path.suffix, "w")) as archive:
        for name, content in files.items():
            member, data = tarfile.TarInfo(name), b""
            if isinstance(content, tarfile.TarInfo):
                member = content
            else:
                data = content.encode() if isinstance(content, str) else content
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def special_member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Return a member of a tar that is no regular file, such as a link or a device."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member
