"""docs/architecture.md is true: its rooms exist, and modules import what it allows."""

import ast
import re
import shutil
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
UTILS = ROOT / "utils"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = "rlhf_course"
DIVIDED = "grading"
ROW = re.compile(r"^\| `([\w/]+)` \| [^|]+ \|([^|]*)\|$", re.MULTILINE)


class Import(NamedTuple):
    """An import of a module of the package, at the top of a file or within a function."""

    line: int
    module: str


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def allowed() -> dict[str, set[str]]:
    """The rooms that each room may import, from the table."""
    return {name: set(re.findall(r"`([\w/]+)`", cell)) for name, cell in ROW.findall(section("Rooms"))}


def modules(utils: Path) -> dict[str, Path]:
    """The package's modules by dotted name."""
    names = {}
    for path in sorted((utils / PACKAGE).rglob("*.py")):
        parts = path.relative_to(utils).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def room_of(module: str) -> str | None:
    """The room of a module; None for the marker `grading/__init__.py`, which belongs to none."""
    parts = module.split(".")
    if len(parts) == 1:
        return PACKAGE
    if parts[1] == DIVIDED:
        return f"{DIVIDED}/{parts[2]}" if len(parts) > 2 else None
    return parts[1]


def rooms(utils: Path) -> set[str]:
    return {room for module in modules(utils) if (room := room_of(module))}


def imports(path: Path, module: str, known: dict[str, Path]) -> Iterator[Import]:
    """What a file imports of the package, by statements and by `import_module("...")`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                package = module.split(".") if path.stem == "__init__" else module.split(".")[:-1]
                package = package[: len(package) - node.level + 1]
                source = ".".join([*package, source] if source else package)
            names = [f"{source}.{alias.name}" if f"{source}.{alias.name}" in known else source for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            constants = [argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)]
            names = [value for value in constants if isinstance(value, str)]
        yield from (Import(node.lineno, name) for name in names if name.split(".")[0] == PACKAGE)


def forbidden_imports(utils: Path) -> list[str]:
    """The imports that the table does not allow, as `FILE:LINE imports X: ROOM may not import ROOM`."""
    known, table, findings = modules(utils), allowed(), []
    for module, path in known.items():
        room = room_of(module)
        for item in imports(path, module, known):
            target = room_of(item.module)
            if room and target and target != room and target not in table.get(room, set()):
                place = f"{path.relative_to(utils.parent)}:{item.line}"
                findings.append(f"{place} imports {item.module}: {room} may not import {target}")
    return findings


def test_the_table_names_exactly_the_rooms_that_exist():
    assert set(allowed()) == rooms(UTILS)


def test_the_drawing_names_exactly_the_rooms():
    (drawing,) = re.findall(r"```mermaid\n(.*?)```", section("Drawing"), re.DOTALL)
    assert sorted(re.findall(r'\["([^"]+)"\]', drawing)) == sorted(allowed())


def test_the_table_allows_only_rooms_that_exist_and_no_circle_between_them():
    table = allowed()
    assert set().union(*table.values()) <= set(table)
    TopologicalSorter(table).prepare()


def test_every_import_is_allowed_by_the_table():
    findings = forbidden_imports(UTILS)
    assert not findings, "\n".join(findings)


def test_modules_do_not_import_each_other_in_a_circle_not_even_within_functions():
    known = modules(UTILS)
    graph = {
        module: {item.module for item in imports(path, module, known) if item.module != module}
        for module, path in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError("circle: " + " -> ".join(error.args[1])) from None


def test_only_the_list_of_parts_names_the_first_part():
    naming = [
        str(path.relative_to(ROOT))
        for module, path in modules(UTILS).items()
        if module != f"{PACKAGE}.course" and "part1_rlhf" in path.read_text(encoding="utf-8")
    ]
    assert not naming, "\n".join(naming)


def copy_of_utils(tmp_path: Path) -> Path:
    shutil.copytree(UTILS, tmp_path / "utils", ignore=shutil.ignore_patterns("__pycache__", "embedded", "*.npz"))
    return tmp_path / "utils"


def added_findings(utils: Path, file: str, code: str) -> list[str]:
    """The findings that appear when code is added at the end of a file."""
    before, path = set(forbidden_imports(utils)), utils / PACKAGE / file
    path.write_text(path.read_text(encoding="utf-8") + code, encoding="utf-8")
    return sorted(set(forbidden_imports(utils)) - before)


def test_a_forbidden_import_is_found_wherever_it_stands(tmp_path):
    utils = copy_of_utils(tmp_path)
    number = len((utils / PACKAGE / "files.py").read_text(encoding="utf-8").splitlines())
    assert added_findings(utils, "files.py", "\nfrom rlhf_course.rl.args import RLHFArgs\n") == [
        f"utils/rlhf_course/files.py:{number + 2} imports rlhf_course.rl.args: files may not import rl"
    ]
    assert added_findings(utils, "rl/args.py", "\ndef late():\n    from rlhf_course import notebook\n")
    assert added_findings(
        utils, "grading/limits.py", "\nif TYPE_CHECKING:\n    import rlhf_course.widgets.dashboard_model\n"
    )
    assert added_findings(utils, "checks/core.py", '\nimportlib.import_module("rlhf_course.building.build")\n')


def test_the_glossary_is_at_most_twenty_entries_long():
    entries = re.findall(r"^\| (?!word|---)[^|]+ \|", section("Glossary"), re.MULTILINE)
    assert 0 < len(entries) <= 20
