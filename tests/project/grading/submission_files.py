"""What learners hand in, made for tests: notebooks, folders and archives, some of them hostile."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from rlhf_course.course import BY_NAME
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, read_submission
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.stubs import stub_of

WORK = "def compute_advantages(values, rewards, prefix_len):\n    return values\n"
OTHER = "def compute_advantages(values, rewards, prefix_len):\n    return rewards\n"
STUB = stub_of(BY_NAME["compute_advantages"])
FILE = "compute_advantages.py"
PATH = f"part1_rlhf/{FILE}"


def read(path: Path) -> Submission:
    """A submission as grading reads it."""
    return read_submission(SubmissionPath("ada", path))


def said(submission: Submission) -> str:
    """All of its warnings."""
    return "\n".join(submission.warnings)


def notebook(*cells: str | dict) -> str:
    """A notebook's JSON; a text is a cell of code."""
    whole = [{"cell_type": "code", "metadata": {}, "source": cell} if isinstance(cell, str) else cell for cell in cells]
    return json.dumps({"cells": whole, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def cell(text: str, name: str = "compute_advantages") -> str:
    return f"%%exercise {name}\n{text}"


def folder(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """A folder with these files."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: Mapping[str, str | bytes | tarfile.TarInfo]) -> Path:
    """A tar, packed as its name says; a TarInfo stands for itself."""
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


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A member of a tar that is no file."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member
