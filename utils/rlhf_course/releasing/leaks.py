"""Searching what is handed out for what must not be in it: answers, known mistakes, hidden tests."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rlhf_course.building.bank import bank_file
from rlhf_course.building.stubs import BEGIN, END, cut_solutions
from rlhf_course.course import EXERCISES

# A shorter statement could be anybody's.
_SHORTEST = 30
_TEXT = {".py", ".json", ".ipynb", ".md", ".txt", ".toml", ".yml", ".sh", ".html", ".lock", ".js", ".csv", ""}


@cache
def secrets(root: Path) -> dict[str, str]:
    """Every text that learners must not receive, without its white space, and where it stands.

    These are the statements of answers, known mistakes, variants and hidden tests that are no part of a stub, names of hidden
    tests that no self-check has, and model answers in prose.

    Args:
        root: the repository.
    """
    hidden, package = root / "tests/hidden", root / "utils/rlhf_course"
    tests = sorted(hidden.glob("*/test_*.py"))
    banks = [bank_file(root, exercise) for exercise in EXERCISES]
    # Variants and mistakes repeat what is given, where a class does without the base class.
    given = {one for place in (package / "rl").glob("*.py") for one in _statements(_text(place))}
    found = {one: str(place.relative_to(root)) for place in banks for one in _statements(_text(place)) - given}
    for place in [*(root / "solutions" / one.path for one in EXERCISES), *tests]:
        found |= {statement: str(place.relative_to(root)) for statement in _statements(_text(place))}
    visible = "\n".join(_text(place) for place in (package / "checks").rglob("*.py"))
    for place in tests:
        found |= {
            name: str(place.relative_to(root))
            for name in re.findall(r"def (test_\w+)", _text(place))
            if name not in visible
        }
    for place in sorted((root / "solutions/notebooks").glob("*.md")):
        found |= {_bare(line): str(place.relative_to(root)) for line in _solution_lines(_text(place))}
    stubs = {
        one
        for exercise in EXERCISES
        for one in _statements(cut_solutions(_text(root / "solutions" / exercise.path), exercise.file))
    }
    return {text: place for text, place in found.items() if len(text) >= _SHORTEST and text not in stubs}


def leaks(files: Mapping[Path, bytes], root: Path) -> list[str]:
    """Where files that are to be handed out hold a secret, one line for each.

    Args:
        files: content by path.
        root: the repository.
    """
    hidden = secrets(root)
    return [
        f"{path} holds what stands in {hidden[secret]}: {secret[:60]}"
        for path, content in files.items()
        if path.suffix in _TEXT
        for text in [_bare(_readable(path, content))]
        for secret in hidden
        if secret in text
    ]


def _text(place: Path) -> str:
    return place.read_text(encoding="utf-8")


def _statements(text: str) -> set[str]:
    """The simple statements of a module's functions and classes, without white space."""
    tree = ast.parse(text)
    simple = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Expr, ast.Assert)
    docstrings = {
        id(node.body[0])
        for node in ast.walk(tree)
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None
    }
    nodes = (node for node in ast.walk(tree) if isinstance(node, simple) and id(node) not in docstrings)
    return {_bare(ast.get_source_segment(text, node) or "") for node in nodes}


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
    """A file's text; of JSON, its strings as they are meant."""
    text = content.decode("utf-8", errors="replace")
    if path.suffix not in (".json", ".ipynb"):
        return text
    try:
        return "\n".join(_strings(json.loads(text)))
    except ValueError:
        return text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _strings(one)
    elif isinstance(value, list):
        # A notebook's lines are one text.
        if value and all(isinstance(one, str) for one in value):
            yield "".join(value)
        else:
            for one in value:
                yield from _strings(one)


def _bare(text: str) -> str:
    return re.sub(r"\s+", "", text)
