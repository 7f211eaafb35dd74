"""Define the cell magic `%%exercise NAME`, which checks the form of a cell, saves it, imports it and binds its name."""

import ast
import os
import sys
from collections.abc import Sequence
from typing import Any

from rlhf_course.course import Exercise
from rlhf_course.errors import CourseError
from rlhf_course.notebook import workspace
from rlhf_course.notebook.error_report import load_error_lines, shortened
from rlhf_course.notebook.hiding import hiding_files
from rlhf_course.notebook.messages import show_message
from rlhf_course.notebook.page_style import show_page_style
from rlhf_course.notebook.progress_file import changed_state, read_state, section
from rlhf_course.notebook.session import Session, current_session
from rlhf_course.recording import recorded
from rlhf_course.stubs import is_given, is_stub, stub_of

# The calls that the notebooks' texts and the messages name. In a notebook they are defined from its first cell on.
# IPython has magics of its own that are called `reset` and `load`; a name that is defined takes precedence over them.
CALLS = (
    "check",
    "compare",
    "hand_in",
    "hint",
    "inputs_of",
    "load",
    "passed",
    "predict",
    "progress",
    "recorded_run",
    "reset",
    "solution",
)


def register() -> None:
    """Register the magic and the style with the IPython that runs this, if any, and define the course's calls."""
    shell = _shell()
    if shell is None:
        return
    shell.register_magic_function(exercise_magic, "cell", "exercise")
    shell.events.register("post_run_cell", show_page_style)
    for name in CALLS:
        shell.user_ns.setdefault(name, getattr(sys.modules["rlhf_course"], name))
    if hiding := hiding_files():
        show_message(*hiding, status="error")


def exercise_magic(line: str, cell: str) -> None:
    """Run the magic `%%exercise NAME [--replace]`: check, save and import the cell's text as an exercise's answer.

    With --replace the cell's text replaces that of the file even if the file was changed elsewhere. The file's earlier
    text is kept in the history.

    Args:
        line: The words after `%%exercise`.
        cell: The text below the magic line.
    """
    words = line.split()
    replace = "--replace" in words
    names = [word for word in words if word != "--replace"]
    try:
        if len(names) != 1:
            raise CourseError(f"takes the name of one exercise, got {line.strip()!r}")
        run_cell(workspace.exercise_of(names[0]), cell, _shell().user_ns, current_session(), replace)
    except CourseError as error:
        show_message(f"%%exercise: {error}", status="error")


def run_cell(exercise: Exercise, cell: str, namespace: dict[str, Any], session: Session, replace: bool = False) -> None:
    """Run an exercise's cell. Every problem with its text is shown as a message.

    Args:
        exercise: The exercise.
        cell: The text below the magic line.
        namespace: The namespace in which the exercise's name is bound.
        session: The state of this kernel, which is updated.
        replace: Whether to replace the file even if it was changed elsewhere.

    Raises:
        CourseError: There is no workspace.
    """
    text = workspace.normalize_newlines(cell if cell.endswith("\n") else cell + "\n")
    on_disk = workspace.read_answer(exercise)
    session.unsaved.discard(exercise.name)
    if problem := _problem_of(exercise, text):
        session.unsaved.add(exercise.name)
        show_message(*problem, f"Nothing was saved; {exercise.path} is unchanged.", status="error")
    elif is_stub(exercise, text):
        if on_disk is None:
            _save(exercise, text, session)
        elif not is_stub(exercise, on_disk):
            show_message(
                f"{exercise.name}: the cell holds the untouched stub, {exercise.path} holds work. The file is used.",
                f"load({exercise.name!r}) puts its text into a cell.",
            )
    elif not replace and _changed_elsewhere(exercise, text, on_disk, session):
        session.unsaved.add(exercise.name)
        show_message(
            f"{exercise.name}: not saved. {exercise.path} was changed since a cell here last saved it:",
            "by hand, or in another notebook that is open. The file is used as it is.",
            f"  to work on the file's text:        load({exercise.name!r})",
            f"  to replace it by the cell's text:  %%exercise {exercise.name} --replace",
            status="error",
        )
    else:
        _save(exercise, text, session)
    _bind(exercise, namespace)


def _save(exercise: Exercise, text: str, session: Session) -> None:
    """Save a cell's text to the exercise's file, and record that this kernel saved it."""
    backup = workspace.save_answer(exercise, text)
    session.digests[exercise.name] = workspace.digest(text)
    with changed_state(workspace.find_workspace() / exercise.part) as state:
        record = section(state, "exercises", exercise.name)
        record["saved"] = workspace.digest(text)
        record["kernel"] = _this_kernel()
    before = f" (the earlier text: {workspace.HISTORY}/{backup.name})" if backup else ""
    show_message(f"{exercise.name}: saved to {exercise.path}{before}")


def _changed_elsewhere(exercise: Exercise, text: str, on_disk: str | None, session: Session) -> bool:
    """Return whether the file holds work that a text editor or another running kernel put there.

    A text that this kernel, or a kernel that has ended, saved or loaded last does not count.
    """
    if is_stub(exercise, on_disk) or on_disk == text:
        return False
    digest = workspace.digest(on_disk)
    if exercise.name in session.digests:
        return digest != session.digests[exercise.name]
    record = section(read_state(workspace.find_workspace() / exercise.part), "exercises", exercise.name)
    return digest != record.get("saved") or _is_running(record.get("kernel"))


def _this_kernel() -> list[float]:
    """Return the process id and start time of this process, which together identify it."""
    import psutil

    return [os.getpid(), psutil.Process().create_time()]


def _is_running(kernel: Any) -> bool:
    """Return whether a process other than this one still runs, given its id and start time."""
    import psutil

    if not isinstance(kernel, list) or len(kernel) != 2 or kernel == _this_kernel():
        return False
    try:
        return bool(abs(psutil.Process(int(kernel[0])).create_time() - kernel[1]) < 1)
    except (psutil.Error, ValueError):
        return False


class Unloaded:
    """A placeholder for an answer whose file cannot be imported, so that the cells below still run."""

    def __init__(self, exercise: Exercise) -> None:
        self.__name__, self.__module__ = exercise.name, exercise.qualified_module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse the call.

        Raises:
            CourseError: Always.
        """
        raise CourseError(
            f"{self.__name__} cannot be used, because its file cannot be imported: check({self.__name__!r}) shows why"
        )


def _bind(exercise: Exercise, namespace: dict[str, Any]) -> None:
    """Bind the exercise's name to the answer in the learner's file, or to a placeholder if it cannot be imported."""
    try:
        namespace[exercise.name] = recorded(exercise.name, workspace.load_answer(exercise))
    except BaseException as error:  # a learner's code may raise SystemExit, and the stop button KeyboardInterrupt
        show_message(*load_error_lines(exercise, error), status="error")
        namespace[exercise.name] = Unloaded(exercise)


# The form of an answer.


def _problem_of(exercise: Exercise, text: str) -> list[str] | None:
    """Return a message to the learner on why a text cannot be the exercise's answer; None if it can be."""
    try:
        compile(text, f"<cell of {exercise.name}>", "exec")
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        return _syntax_problem(exercise, error)
    defined = _definition(tree, exercise.name)
    if defined is None:
        return [f"{exercise.name}: this cell does not define {exercise.name}; keep the exercise's name."]
    in_stub = _definition(ast.parse(stub_of(exercise)), exercise.name)
    for name, function, expected in _function_pairs(exercise.name, defined, in_stub):
        if not _accepts_calls_of(function, expected):
            return [
                f"{exercise.name}: {name} takes other arguments than in the exercise.",
                f"got:    {name}({', '.join(_arguments(function))})",
                f"wanted: {name}({', '.join(_arguments(expected))})",
            ]
    return None


def _syntax_problem(exercise: Exercise, error: SyntaxError | ValueError) -> list[str]:
    lines = [f"{exercise.name}: {type(error).__name__}: {getattr(error, 'msg', error)}"]
    if line := getattr(error, "lineno", None):
        written = (getattr(error, "text", None) or "").strip()
        # The line numbers of the text do not count the cell's first line, which holds the magic.
        lines.append(shortened(f"at: line {line + 1} of the cell: {written}"))
        if written.startswith(("%", "!")):
            lines.append("An exercise's cell is saved as a Python file: put commands with % and ! into another cell.")
    return lines


_BINDING_STATEMENTS = (ast.Assign, ast.AnnAssign, ast.ImportFrom, ast.Import, ast.If, ast.Try, ast.With)


def _definition(tree: ast.Module, name: str) -> ast.stmt | None:
    """Return the last statement at the top level of a module that defines a name."""
    definition: ast.stmt | None = None
    for node in tree.body:
        is_definition = isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) and node.name == name
        if is_definition or (isinstance(node, _BINDING_STATEMENTS) and name in _bound_names(node)):
            definition = node
    return definition


def _bound_names(statement: ast.stmt) -> set[str]:
    """Return the names that a statement and the statements within it bind."""
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return names


def _function_pairs(
    name: str, defined: ast.stmt, in_stub: ast.stmt | None
) -> list[tuple[str, ast.FunctionDef, ast.FunctionDef]]:
    """Pair the learner's functions with those of the stub: the function itself, or the methods of both classes.

    Returns:
        A name, the learner's function and the stub's function for each pair.
    """
    if isinstance(defined, ast.FunctionDef) and isinstance(in_stub, ast.FunctionDef):
        return [(name, defined, in_stub)]
    if not (isinstance(defined, ast.ClassDef) and isinstance(in_stub, ast.ClassDef)):
        return []
    expected = {node.name: node for node in in_stub.body if isinstance(node, ast.FunctionDef)}
    methods = [node for node in defined.body if isinstance(node, ast.FunctionDef)]
    return [(method.name, method, expected[method.name]) for method in methods if method.name in expected]


def _accepts_calls_of(function: ast.FunctionDef, expected: ast.FunctionDef) -> bool:
    """Return whether a function accepts every call that the stub's function accepts.

    It does if it has the same parameters, and all further ones are optional.
    """
    if function.args.vararg is not None and function.args.kwarg is not None:
        return True
    names, expected_names = _parameters(function), _parameters(expected)
    optional = len(function.args.defaults)
    if names[: len(expected_names)] != expected_names or len(names) - len(expected_names) > optional:
        return False
    required, expected_required = len(names) - optional, len(expected_names) - len(expected.args.defaults)
    has_required_keyword = any(default is None for default in function.args.kw_defaults)
    return required <= expected_required and not has_required_keyword


def _parameters(function: ast.FunctionDef) -> list[str]:
    return [parameter.arg for parameter in (*function.args.posonlyargs, *function.args.args)]


def _arguments(function: ast.FunctionDef) -> list[str]:
    """Return the parameters as the signature shows them, with their defaults."""
    names = _parameters(function)
    defaults: Sequence[str] = [f"={ast.unparse(default)}" for default in function.args.defaults]
    suffixes = [*[""] * (len(names) - len(defaults)), *defaults]
    return [name + suffix for name, suffix in zip(names, suffixes, strict=True)]


# Loading and resetting.


def load(name_or_object: Any) -> None:
    """Put the text of the learner's file into a new cell; outside a notebook, print it.

    Args:
        name_or_object: The exercise's name, or the function or class that answers it.
    """
    session = current_session()
    try:
        exercise = workspace.exercise_of(name_or_object)
        text = workspace.read_answer(exercise)
        if text is None:
            raise CourseError(f"{exercise.path} does not exist: reset({exercise.name!r}) writes the stub to it")
    except CourseError as error:
        show_message(f"load: {error}", status="error")
        return
    session.digests[exercise.name] = workspace.digest(text)
    session.unsaved.discard(exercise.name)
    _show_in_new_cell(exercise, text)


def reset(name_or_object: Any) -> None:
    """Write an exercise's stub to its file again; its earlier text is kept in `.history/` beside the file.

    Args:
        name_or_object: The exercise's name, or the function or class that answers it.
    """
    try:
        exercise = workspace.exercise_of(name_or_object)
        if is_given(workspace.read_answer(exercise)):
            raise CourseError(f"{exercise.name} is given in this course, and has no stub")
        stub = stub_of(exercise)
        backup = workspace.save_answer(exercise, stub)
    except CourseError as error:
        show_message(f"reset: {error}", status="error")
        return
    digest = workspace.digest(stub)
    current_session().digests[exercise.name] = digest
    with changed_state(workspace.find_workspace() / exercise.part) as state:
        section(state, "exercises", exercise.name).update(
            status="not attempted", saved=digest, text=digest, kernel=_this_kernel()
        )
    show_message(
        f"{exercise.name}: {exercise.path} holds the stub again.",
        f"Your text is kept in {exercise.part}/{workspace.HISTORY}/{backup.name}."
        if backup
        else "The file held no text of yours.",
    )
    shell = _shell()
    if shell is not None:
        _bind(exercise, shell.user_ns)
        _show_in_new_cell(exercise, stub)


def _show_in_new_cell(exercise: Exercise, text: str) -> None:
    shell = _shell()
    if shell is None:
        print(text)
    else:
        shell.set_next_input(f"%%exercise {exercise.name}\n{text.rstrip()}", replace=False)


def _shell() -> Any:
    """IPython's shell, or None outside IPython."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
