"""The normal form of an answer: what is left of a text when names, layout, comments and annotations do not count."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

_TOKEN = re.compile(r"\d+\.?\d*(?:e[+-]?\d+)?|\w+|[^\w\s]")


def normal_lines(text: str, keep: str = "") -> list[str]:
    """An answer's statements in one layout, with its own names numbered as they appear.

    A text that is no Python is taken line by line, without comments.

    Args:
        text: the answer's file.
        keep: the exercise's name, which all answers share.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return _bare_lines(text)
    try:
        tree = _Renamed(tree, keep).visit(tree)
        return [line.strip() for line in ast.unparse(tree).splitlines() if line.strip()]
    except RecursionError:
        return _bare_lines(text)


def anonymous(line: str) -> str:
    """A normal line whose numbered names are all one: the same statement in another place looks like it."""
    return re.sub(r"\bv\d+\b", "v", line)


def tokens(lines: list[str]) -> list[str]:
    """The tokens of normal lines."""
    return [token for line in lines for token in _TOKEN.findall(line)]


class _Renamed(ast.NodeTransformer):
    """Numbers the names that an answer binds, and takes away docstrings, annotations, type comments and imports."""

    def __init__(self, tree: ast.AST, keep: str) -> None:
        self._paths = dict(_imported(tree))
        bound = _bound(tree) - {keep, "self", "cls"} - set(self._paths)
        self._bound, self._numbers = bound, {}

    def _name(self, name: str) -> str:
        if name in self._paths:
            return self._paths[name]
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
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_Import(self, node: ast.AST) -> None:
        return None

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns, node.name = None, self._name(node.name)
        return self._body(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._name(node.name)
        return self._body(node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._body(node)

    def _body(self, node: ast.AST) -> ast.AST:
        node.body = [
            one for one in node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        ]
        node = self.generic_visit(node)
        node.body = node.body or ([] if isinstance(node, ast.Module) else [ast.Pass()])
        return node


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that imports bind, each with the whole path that it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((one.asname, one.name) for one in node.names if one.asname)
        elif isinstance(node, ast.ImportFrom):
            yield from (
                (one.asname or one.name, f"{node.module}.{one.name}" if node.module else one.name) for one in node.names
            )


def _bound(tree: ast.AST) -> set[str]:
    """Names that a text binds itself."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
    return names - _methods(tree)


def _methods(tree: ast.AST) -> set[str]:
    """Names of methods: others call them, so they are no matter of taste."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {one.name for node in classes for one in node.body if isinstance(one, ast.FunctionDef)}


def _bare_lines(text: str) -> list[str]:
    """The lines of a text that is no Python, without white space and comments as far as they can be told."""
    comments: dict[int, int] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                comments[token.start[0]] = token.start[1]
    except (tokenize.TokenError, SyntaxError, IndentationError):
        pass  # what was told before the text broke off is used
    lines = [line[: comments.get(number, len(line))] for number, line in enumerate(text.splitlines(), 1)]
    return [" ".join(_TOKEN.findall(line)) for line in lines if line.strip()]
