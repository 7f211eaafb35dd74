"""Search the files for learners for answers, known mistakes and hidden tests."""

import ast
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from rlhf_course.bank import bank_file
from rlhf_course.building.course_changes import given_files
from rlhf_course.building.stubs import cut_solutions
from rlhf_course.course import EXERCISES, Exercise
from rlhf_course.stubs import BEGIN, END

# A shorter statement is not searched for, since other code may contain it by chance.
_MIN_LENGTH = 30
_TEXT_SUFFIXES = {".py", ".json", ".ipynb", ".md", ".txt", ".toml", ".yml", ".sh", ".html", ".lock", ".js", ".csv", ""}


@cache
def secrets(root: Path) -> dict[str, str]:
    """Return every text that learners must not receive, without white space, with the file that holds it.

    These are the statements of answers, of bank files and of hidden tests that no stub contains, names of hidden tests
    that no self-check has, and model answers in prose.

    Args:
        root: The repository.
    """
    hidden, package = root / "tests/hidden", root / "utils/rlhf_course"
    tests = sorted(hidden.glob("*/test_*.py"))
    banks = [bank_file(root, exercise) for exercise in EXERCISES]
    # Some classes in the banks have no base class, and repeat statements of the code that learners are given.
    given = {statement for path in (package / "rl").glob("*.py") for statement in _statements(_text(path))}
    sources: dict[str, Path] = {}
    for path in banks:
        sources |= dict.fromkeys(_statements(_text(path)) - given, path)
    for path in [*(root / "solutions" / exercise.path for exercise in EXERCISES), *tests]:
        sources |= dict.fromkeys(_statements(_text(path)), path)
    visible = "\n".join(_text(path) for path in (package / "checks").rglob("*.py"))
    for path in tests:
        names = re.findall(r"def (test_\w+)", _text(path))
        sources |= dict.fromkeys((name for name in names if name not in visible), path)
    for path in sorted((root / "solutions/notebooks").glob("*.md")):
        sources |= dict.fromkeys(map(_without_space, _solution_lines(_text(path))), path)
    stubs = {
        statement
        for exercise in EXERCISES
        for statement in _statements(cut_solutions(_text(root / "solutions" / exercise.path), exercise.file))
    }
    return {
        text: str(path.relative_to(root))
        for text, path in sources.items()
        if len(text) >= _MIN_LENGTH and text not in stubs
    }


def leaks(files: Mapping[Path, bytes], root: Path, left_out: Sequence[Exercise] = ()) -> list[str]:
    """Find the secrets in files for learners, and describe each in a line.

    Args:
        files: The content of each file, by path.
        root: The repository.
        left_out: The exercises that the course leaves out, whose own files hold the answers.
    """
    hidden, given = secrets(root), given_files(root, left_out)
    return [
        f"{path} holds a text of {hidden[secret]}: {secret[:60]}"
        for path, content in files.items()
        if path.suffix in _TEXT_SUFFIXES and given.get(Path(*path.parts[-2:])) != content
        for text in [_without_space(_readable(path, content))]
        for secret in hidden
        if secret in text
    ]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _statements(text: str) -> set[str]:
    """Return the simple statements of a module's functions and classes, without white space."""
    tree = ast.parse(text)
    simple = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Expr, ast.Assert)
    docstrings = {
        id(node.body[0])
        for node in ast.walk(tree)
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None
    }
    nodes = (node for node in ast.walk(tree) if isinstance(node, simple) and id(node) not in docstrings)
    lines = text.encode().split(b"\n")
    return {_without_space(_segment(lines, node)) for node in nodes}


def _segment(lines: Sequence[bytes], node: ast.stmt) -> str:
    """Return the text of a statement, as `ast.get_source_segment` does, which splits the whole file for each call."""
    segment = list(lines[node.lineno - 1 : node.end_lineno])
    segment[-1] = segment[-1][: node.end_col_offset]
    segment[0] = segment[0][node.col_offset :]
    return b"\n".join(segment).decode()


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _solution_lines(text: str) -> list[str]:
    inside, lines = False, []
    for line in text.splitlines():
        if line.strip() in (BEGIN, END):
            inside = line.strip() == BEGIN
        elif inside:
            lines.append(line)
    return lines


def _readable(path: Path, content: bytes) -> str:
    """Return a file's text; of a JSON file, its strings without escapes; of HTML, also the text without its tags."""
    text = content.decode("utf-8", errors="replace")
    if path.suffix in (".json", ".ipynb"):
        with suppress(ValueError):
            text = "\n".join(_strings(json.loads(text)))
    if path.suffix in (".json", ".ipynb", ".html"):
        # Colours of code are tags inside a statement.
        text += "\n" + html.unescape(re.sub(r"<[^<>]*>", "", text))
    return text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        # A notebook holds a cell's source as a list of lines, which are searched as one text.
        if value and all(isinstance(item, str) for item in value):
            yield "".join(value)
        else:
            for item in value:
                yield from _strings(item)


def _without_space(text: str) -> str:
    return re.sub(r"\s+", "", text)
