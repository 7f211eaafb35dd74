"""Normalize the text of an answer, so that names, layout, comments and annotations do not count in a comparison."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from typing import TypeVar

_TOKEN = re.compile(r"\d+\.?\d*(?:e[+-]?\d+)?|\w+|[^\w\s]")
_HasBody = TypeVar("_HasBody", ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def normalized_lines(text: str, keep: str = "") -> list[str]:
    """Return an answer's statements in one layout, in which the names that it binds are v0, v1, … in order.

    A text that cannot be parsed is returned line by line, without comments.

    Args:
        text: The text of the answer's file.
        keep: The exercise's name, which is not replaced because all answers share it.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _lines_without_comments(text)
    try:
        tree = _NameNormalizer(tree, keep).visit(tree)
        return [line.strip() for line in ast.unparse(tree).splitlines() if line.strip()]
    except (RecursionError, MemoryError):
        return _lines_without_comments(text)


def anonymize_names(line: str) -> str:
    """Replace v0, v1, … in a normalized line by `v`, so that a statement does not depend on those before it."""
    return re.sub(r"\bv\d+\b", "v", line)


def tokens(lines: list[str]) -> list[str]:
    """Return the tokens of normalized lines."""
    return [token for line in lines for token in _TOKEN.findall(line)]


class _NameNormalizer(ast.NodeTransformer):
    """Numbers the names that an answer binds, and removes docstrings, annotations, type comments and imports.

    Args:
        tree: The answer.
        keep: A name that is not replaced.
    """

    def __init__(self, tree: ast.AST, keep: str) -> None:
        self._import_paths = dict(_imported_names(tree))
        self._bound = _bound_names(tree) - {keep, "self", "cls"} - set(self._import_paths)
        self._numbers: dict[str, str] = {}

    def _name(self, name: str) -> str:
        if name in self._import_paths:
            return self._import_paths[name]
        if name not in self._bound:
            return name
        return self._numbers.setdefault(name, f"v{len(self._numbers)}")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self._name(node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(self._name(node.arg))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        assignment: ast.AST = self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))
        return assignment

    def visit_Import(self, node: ast.AST) -> None:
        return None

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns, node.name = None, self._name(node.name)
        return self._visit_body(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns, node.name = None, self._name(node.name)
        return self._visit_body(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._name(node.name)
        return self._visit_body(node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._visit_body(node)

    def _visit_body(self, node: _HasBody) -> _HasBody:
        """Visit a node without its docstring and other constants that are statements."""
        node.body = [
            statement
            for statement in node.body
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        ]
        self.generic_visit(node)
        if not node.body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
        return node


def _imported_names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each name that an import binds, with the full path of the imported object."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname, alias.name) for alias in node.names if alias.asname)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}" if node.module else alias.name


def _bound_names(tree: ast.AST) -> set[str]:
    """Return the names that a text binds itself, except those of methods, which other code calls."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
    return names - _method_names(tree)


def _method_names(tree: ast.AST) -> set[str]:
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {statement.name for node in classes for statement in node.body if isinstance(statement, ast.FunctionDef)}


def _lines_without_comments(text: str) -> list[str]:
    """Return the lines of a text that cannot be parsed, without white space and, where they can be found, comments."""
    comments: dict[int, int] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                comments[token.start[0]] = token.start[1]
    except (tokenize.TokenError, SyntaxError, IndentationError):
        pass  # the comments before the error are known
    lines = [line[: comments.get(number, len(line))] for number, line in enumerate(text.split("\n"), 1)]
    return [" ".join(_TOKEN.findall(line)) for line in lines if line.strip()]
