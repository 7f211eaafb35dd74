"""The cell magic `%%exercise NAME`: what a learner writes in a cell is checked, saved, loaded and bound."""

import ast
import os
import sys
from dataclasses import dataclass, field
from typing import Any

from rlhf_course.course import Exercise
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import PACKAGE
from rlhf_course.notebook import workspace
from rlhf_course.notebook.checking import error_lines, shortened
from rlhf_course.notebook.messages import show_message
from rlhf_course.notebook.progress_file import changed_state, part, read_state
from rlhf_course.recording import recorded
from rlhf_course.stubs import is_stub, stub_of


@dataclass
class _Memory:
    """What this kernel knows: the text that it last saved or loaded, by exercise, as a digest."""

    known: dict[str, str] = field(default_factory=dict)


_memory = _Memory()


def register() -> None:
    """Make the magic known to the IPython that runs this; do nothing outside IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        shell.register_magic_function(exercise_magic, "cell", "exercise")


def exercise_magic(line: str, cell: str) -> None:
    """`%%exercise NAME [--replace]`: check, save and load the cell's text as the answer to an exercise.

    With --replace the cell's text takes the place of the file's, whatever the file holds; what it held is kept.
    """
    shell = sys.modules["IPython"].get_ipython()
    words = line.split()
    replace = "--replace" in words
    names = [word for word in words if word != "--replace"]
    try:
        if len(names) != 1:
            raise CourseError("%%exercise takes the name of one exercise")
        run_cell(workspace.exercise_of(names[0]), cell, shell.user_ns, replace)
    except CourseError as error:
        show_message(f"%%exercise: {error}", status="error")


def run_cell(exercise: Exercise, cell: str, namespace: dict[str, Any], replace: bool = False) -> None:
    """What running an exercise's cell does. Whatever is wrong is said; nothing is raised but a missing desk.

    Args:
        cell: the text below the magic line.
        namespace: where the exercise's name is bound.
        replace: whether the file may be overwritten although it is not what a cell last saved.
    """
    text = workspace.plain(cell if cell.endswith("\n") else cell + "\n")
    on_disk = workspace.read_answer(exercise)
    workspace.unsaved.discard(exercise.name)
    if problem := _problem_of(exercise, text):
        workspace.unsaved.add(exercise.name)
        show_message(*problem, f"Nothing was saved; {_place(exercise)} is as it was.", status="error")
    elif is_stub(exercise, text):
        if on_disk is None:
            _save(exercise, text)
        elif not is_stub(exercise, on_disk):
            show_message(
                f"{exercise.name}: this cell holds the untouched stub, {_place(exercise)} holds work. The file is used.",
                f"load({exercise.name!r}) puts its text into a cell.",
            )
            _memory.known[exercise.name] = workspace.digest(on_disk)
    elif not replace and _changed_elsewhere(exercise, text, on_disk):
        workspace.unsaved.add(exercise.name)
        show_message(
            f"{exercise.name}: not saved. {_place(exercise)} was changed since a cell here last saved it:",
            "by hand, or in another notebook that is open. The file is used as it is.",
            f"  to work on the file's text:  load({exercise.name!r})",
            f"  to put this cell's in place: %%exercise {exercise.name} --replace",
            status="error",
        )
    else:
        _save(exercise, text)
    _bind(exercise, namespace)


def _save(exercise: Exercise, text: str) -> None:
    kept = workspace.save_answer(exercise, text)
    _memory.known[exercise.name] = workspace.digest(text)
    with changed_state(workspace.find_workspace()) as state:
        record = part(state, "exercises", exercise.name)
        record["saved"] = workspace.digest(text)
        record["kernel"] = _this_kernel()
    show_message(
        f"{exercise.name}: saved to {_place(exercise)}"
        + (f" (before: {workspace.HISTORY}/{kept.name})" if kept else "")
    )


def _changed_elsewhere(exercise: Exercise, text: str, on_disk: str | None) -> bool:
    """Whether the file holds work that neither this kernel saved or loaded, nor a kernel that has ended."""
    if is_stub(exercise, on_disk) or on_disk == text:
        return False
    found = workspace.digest(on_disk)
    if exercise.name in _memory.known:
        return found != _memory.known[exercise.name]
    record = part(read_state(workspace.find_workspace()), "exercises", exercise.name)
    return found != record.get("saved") or _runs(record.get("kernel"))


def _this_kernel() -> list[float]:
    import psutil

    return [os.getpid(), psutil.Process().create_time()]


def _runs(kernel: Any) -> bool:
    """Whether the kernel that is named by process and start still runs, and is another one."""
    import psutil

    if not isinstance(kernel, list) or len(kernel) != 2 or kernel == _this_kernel():
        return False
    try:
        return abs(psutil.Process(int(kernel[0])).create_time() - kernel[1]) < 1
    except (psutil.Error, ValueError):
        return False


class Unloaded:
    """Stands for an answer whose file cannot be loaded, so that the cells that follow still run."""

    def __init__(self, exercise: Exercise) -> None:
        self.__name__, self.__module__ = exercise.name, f"{PACKAGE}.{exercise.module}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise CourseError(f"{self.__name__} cannot be used: its file does not load; check({self.__name__!r}) says why")


def _bind(exercise: Exercise, namespace: dict[str, Any]) -> None:
    try:
        namespace[exercise.name] = recorded(exercise.name, workspace.load_answer(exercise))
    except BaseException as error:  # whatever a learner raises, and the stop button
        show_message(*error_lines(exercise, error, None), status="error")
        namespace[exercise.name] = Unloaded(exercise)


def _place(exercise: Exercise) -> str:
    return f"{PACKAGE}/{exercise.file}"


# The shape of an answer.


def _problem_of(exercise: Exercise, text: str) -> list[str] | None:
    """What keeps a text from being an answer, in lines to the learner; None where it can be one."""
    try:
        compile(text, f"<cell of {exercise.name}>", "exec")
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        lines = [f"{exercise.name}: {type(error).__name__}: {getattr(error, 'msg', error)}"]
        if line:
            # The cell's first line is the magic's.
            written = (getattr(error, "text", None) or "").strip()
            lines.append(shortened(f"at: line {line + 1} of the cell: {written}"))
            if written.startswith(("%", "!")):
                lines.append(
                    "An exercise's cell is saved as a file of Python: commands with % and ! go into a cell of their own."
                )
        return lines
    defined = _definition(tree, exercise.name)
    if defined is None:
        return [f"{exercise.name}: this cell does not define {exercise.name}; the exercise keeps its name."]
    wanted = _definition(ast.parse(stub_of(exercise)), exercise.name)
    for name, got, want in _pairs(exercise.name, defined, wanted):
        if not _fits(got, want):
            return [
                f"{exercise.name}: {name} takes other arguments than the exercise's.",
                f"got:    {name}({', '.join(_arguments(got))})",
                f"wanted: {name}({', '.join(_arguments(want))})",
            ]
    return None


def _definition(tree: ast.AST, name: str) -> ast.AST | None:
    """The last statement that defines a name at the top of a module or class."""
    found = None
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) and node.name == name:
            found = node
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.ImportFrom | ast.Import | ast.If | ast.Try | ast.With):
            if name in _names_bound(node):
                found = node
    return found


def _names_bound(node: ast.AST) -> set[str]:
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    names |= {one.asname or one.name for one in ast.walk(node) if isinstance(one, ast.alias)}
    return names | {one.name for one in ast.walk(node) if isinstance(one, ast.FunctionDef | ast.ClassDef)}


def _pairs(name: str, got: ast.AST, want: ast.AST | None) -> list[tuple[str, ast.FunctionDef, ast.FunctionDef]]:
    """Functions of the learner beside those of the stub: the function itself, or a class's methods."""
    if isinstance(got, ast.FunctionDef) and isinstance(want, ast.FunctionDef):
        return [(name, got, want)]
    if not (isinstance(got, ast.ClassDef) and isinstance(want, ast.ClassDef)):
        return []
    methods = {node.name: node for node in want.body if isinstance(node, ast.FunctionDef)}
    mine = [node for node in got.body if isinstance(node, ast.FunctionDef)]
    return [(node.name, node, methods[node.name]) for node in mine if node.name in methods]


def _fits(got: ast.FunctionDef, want: ast.FunctionDef) -> bool:
    """Whether a function can be called as the stub is: the same arguments, and no further one that must be passed."""
    if got.args.vararg is not None and got.args.kwarg is not None:
        return True
    mine, asked = _names(got), _names(want)
    optional = len(got.args.defaults)
    if mine[: len(asked)] != asked or len(mine) - len(asked) > optional:
        return False
    required_of_mine, required = len(mine) - optional, len(asked) - len(want.args.defaults)
    missing_defaults = any(default is None for default in got.args.kw_defaults)
    return required_of_mine <= required and not missing_defaults


def _names(function: ast.FunctionDef) -> list[str]:
    return [one.arg for one in (*function.args.posonlyargs, *function.args.args)]


def _arguments(function: ast.FunctionDef) -> list[str]:
    names = _names(function)
    defaults = [f"={ast.unparse(one)}" for one in function.args.defaults]
    marks = [""] * (len(names) - len(defaults)) + defaults
    return [name + mark for name, mark in zip(names, marks, strict=True)]


# Loading and resetting.


def load(name_or_object: Any) -> None:
    """Put the text of the learner's file into a new cell; outside a notebook, print it."""
    try:
        exercise = workspace.exercise_of(name_or_object)
        text = workspace.read_answer(exercise)
        if text is None:
            raise CourseError(f"{_place(exercise)} does not exist; reset({exercise.name!r}) puts the stub there")
    except CourseError as error:
        show_message(f"load: {error}", status="error")
        return
    _memory.known[exercise.name] = workspace.digest(text)
    workspace.unsaved.discard(exercise.name)
    _into_a_cell(exercise, text)


def reset(name_or_object: Any) -> None:
    """Give an exercise's stub back; the text that was there is kept in `.history/` beside the file."""
    try:
        exercise = workspace.exercise_of(name_or_object)
        stub = stub_of(exercise)
        kept = workspace.save_answer(exercise, stub)
    except CourseError as error:
        show_message(f"reset: {error}", status="error")
        return
    _memory.known[exercise.name] = workspace.digest(stub)
    with changed_state(workspace.find_workspace()) as state:
        part(state, "exercises", exercise.name).update(
            status="not attempted", saved=workspace.digest(stub), text=workspace.digest(stub), kernel=_this_kernel()
        )
    show_message(
        f"{exercise.name}: {_place(exercise)} holds the stub again.",
        f"Your text is in {PACKAGE}/{workspace.HISTORY}/{kept.name}." if kept else "There was nothing else to keep.",
    )
    shell = _shell()
    if shell is not None:
        _bind(exercise, shell.user_ns)
        _into_a_cell(exercise, stub)


def _into_a_cell(exercise: Exercise, text: str) -> None:
    shell = _shell()
    if shell is None:
        print(text)
    else:
        shell.set_next_input(f"%%exercise {exercise.name}\n{text.rstrip()}", replace=False)


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
