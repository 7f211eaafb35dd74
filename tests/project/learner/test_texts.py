"""Every call and command that a text names is there for its reader, and runs."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

import rlhf_course
from rlhf_course.cli import app
from rlhf_course.course import EXERCISES, PARTS
from rlhf_course.notebook import gate, guide
from rlhf_course.notebook.exercise_progress import checks_of
from rlhf_course.notebook.magic import CALLS
from rlhf_course.paths import NOTEBOOKS, PACKAGE, REPOSITORY
from rlhf_course.releasing.bundle import INSTRUCTOR_PACKAGES, readme

FOR_LEARNERS = PACKAGE / "releasing" / "for_learners"
READMES = {
    kind: readme((FOR_LEARNERS / "README.md").read_text(), PARTS, self_study=kind == "self-study")
    for kind in ("class", "self-study")
}
BUILT = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
# What a bundle holds of the command line; `demo` and the instructors' packages are in a clone alone.
BUNDLE_COMMANDS = {"doctor", "exercises", "train"}
# Messages that only a reader with a clone can get: the gate asks for the hidden tests first, and a learner's copy is
# always built.
CLONE_MESSAGES = {("notebook/gate.py", "grade"), ("stubs.py", "build")}
STANDS_FOR = {'"NAME"': '"compute_advantages"', "key, question, value": '"k", "?", 1', "key, measured": '"k", 2'}


def spans(text: str) -> list[str]:
    """The pieces of code in a text: between backticks, and the lines of fenced blocks."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [*re.findall(r"`([^`\n]+)`", text), *(line for block in fenced for line in block.splitlines())]


def calls_in(text: str) -> list[str]:
    """The calls of the course's functions in the pieces of code of a text."""
    found = []
    for span in spans(text):
        for match in re.finditer(r"(?<![\w.])(\w+)\(", span):
            end = next(
                (end for end in range(match.end(), len(span) + 1) if is_expression(span[match.start() : end])), 0
            )
            if match[1] in {*CALLS, *rlhf_course.__all__} and end:
                found.append(span[match.start() : end])
    return found


def is_expression(text: str) -> bool:
    try:
        return isinstance(ast.parse(text, mode="eval").body, ast.Call)
    except SyntaxError:
        return False


@cache
def notebook_texts(path: Path) -> tuple[str, str]:
    """The Markdown and the code of a notebook."""
    cells = json.loads(path.read_text())["cells"]
    return tuple(
        "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == kind)
        for kind in ("markdown", "code")
    )


@cache
def learner_texts() -> dict[str, str]:
    """What a learner reads apart from the notebooks' code, by where it stands."""
    texts = {path.name: notebook_texts(path)[0] for path in BUILT}
    texts |= {f"hints of {exercise.name}": "\n".join(checks_of(exercise).HINTS) for exercise in EXERCISES}
    return texts | {f"README of {kind}": text for kind, text in READMES.items()}


@pytest.mark.parametrize("path", BUILT, ids=lambda path: path.stem)
def test_a_notebook_defines_the_calls_that_its_text_names(path):
    text, code = notebook_texts(path)
    named = {call.partition("(")[0] for call in calls_in(text)}
    missing = [name for name in named - set(CALLS) if not re.search(rf"\b{name}\b", code)]
    assert not missing


CALLS_IN_TEXTS = sorted({call for text in learner_texts().values() for call in calls_in(text)})


def test_the_texts_name_calls_of_each_kind():
    names = {call.partition("(")[0] for call in CALLS_IN_TEXTS}
    assert {"check", "hint", "reset", "load", "progress", "solution", "recorded_run", "train_run", "hand_in"} <= names


@pytest.mark.parametrize("where", ["clone", "class"])
def test_each_call_that_a_text_names_runs(workspace, capsys, monkeypatch, where, tmp_path):
    if where == "class":
        for module in (guide, gate):
            monkeypatch.setattr(module, "SOLUTIONS", tmp_path / "none")
    only_self_study = {"solution", "use_reference"} if where == "class" else set()
    monkeypatch.setenv("RLHF_COURSE_SHORT", "1")
    names = {name: getattr(rlhf_course, name) for name in (*CALLS, "RLHFArgs", "dashboard", "train_run")}
    for call in CALLS_IN_TEXTS:
        if call.partition("(")[0] not in names or any(word in call for word in only_self_study):
            continue
        for placeholder, value in STANDS_FOR.items():
            call = call.replace(placeholder, value)
        capsys.readouterr()
        eval(call, dict(names))
        shown = capsys.readouterr().out
        assert "is no exercise" not in shown and not re.search("takes .*, got", shown), (call, shown)


def commands_in(text: str) -> list[list[str]]:
    """The words of each command `rlhf-course ...` in a text."""
    return [match[1].split() for match in re.finditer(r"rlhf-course ([a-z][^`\n\"']*)", text)]


def assert_exists(words: list[str], known: set[str]) -> None:
    commands = get_command(app).commands
    assert words[0] in known & set(commands), words
    options = {option for parameter in commands[words[0]].params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, words


def test_the_commands_that_learners_texts_name_are_in_the_bundle():
    for where, text in learner_texts().items():
        for span in spans(text):
            for words in commands_in(span):
                assert where and words[0] in BUNDLE_COMMANDS, (where, words)
                assert_exists(words, BUNDLE_COMMANDS)


def test_the_commands_that_the_repositorys_readme_names_are_there():
    text = (REPOSITORY / "README.md").read_text()
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    for span in spans(text):
        for words in commands_in(span):
            assert_exists(words, set(get_command(app).commands))
        if target := re.match(r"make ([\w-]+)", span):
            assert target[1] in targets


@pytest.mark.parametrize("kind", READMES)
def test_the_targets_of_make_that_a_bundles_readme_names_are_in_its_makefile(kind):
    targets = set(re.findall(r"^([\w-]+):", (FOR_LEARNERS / "Makefile").read_text(), flags=re.MULTILINE))
    named = {target[1] for span in spans(READMES[kind]) if (target := re.match(r"make ([\w-]+)", span))}
    assert named and named <= targets


def shipped_sources() -> list[Path]:
    return [
        path
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in {*INSTRUCTOR_PACKAGES, "demo.py", "cli.py"}
    ]


@pytest.mark.parametrize("path", shipped_sources(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_what_is_shipped_names_no_command_and_no_file_that_a_bundle_lacks(path):
    text = path.read_text()
    name = path.relative_to(PACKAGE).as_posix()
    assert "docs/" not in text or name == "paths.py", "docs/ is not in a bundle"
    tree = ast.parse(text)
    documents = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documents) and ast.get_docstring(node)
    }
    messages = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    for message in messages:
        for words in commands_in(message):
            assert words[0] in BUNDLE_COMMANDS or (name, words[0]) in CLONE_MESSAGES, (message, words)
