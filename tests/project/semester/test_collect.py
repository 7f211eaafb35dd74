"""`nbgrader zip_collect`: whatever a hand-in is called and holds, the others are collected and nothing is shared."""

import io
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from classroom import run_nbgrader
from hypothesis import given
from hypothesis import strategies as st
from nbgrader.apps import ZipCollectApp

from rlhf_course.class_list.matching import match_rows
from rlhf_course.class_list.roster import read_roster
from rlhf_course.course import DEFAULT_PART
from rlhf_course.nbgrader_course.collect import folder_names
from rlhf_course.paths import REPOSITORY

PART = DEFAULT_PART.name
FILE = f"{PART}/get_optimizer.py"


def zip_of(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


def tar_of(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


@pytest.fixture
def collect(tmp_path) -> Callable[..., dict[str, dict[str, str]]]:
    """Collects hand-ins, and returns the text of each learner's files by their paths."""

    def run(hand_ins: dict[str, bytes], *options: str, check: bool = True) -> dict[str, dict[str, str]]:
        (tmp_path / "nbgrader_config.py").write_text(
            "from rlhf_course.nbgrader_course.settings import configure\n"
            f"c = get_config()\nconfigure(c, {str(tmp_path)!r})\n"
        )
        archive = tmp_path / "downloaded" / PART / "archive"
        archive.mkdir(parents=True, exist_ok=True)
        for name, content in {"zoe.zip": zip_of({FILE: "zoe"}), **hand_ins}.items():
            (archive / name).write_bytes(content)
        run_nbgrader(ZipCollectApp, tmp_path, PART, *options)
        collected: dict[str, dict[str, str]] = {}
        for path in (tmp_path / "submitted").rglob("*"):
            if path.is_file():
                learner, _, *below = path.relative_to(tmp_path / "submitted").parts
                collected.setdefault(learner, {})["/".join(below)] = path.read_text()
        if check:
            assert collected.pop("zoe") == {FILE: "zoe"}
        return collected

    return run


HOSTILE = {
    "a file and a folder of one name": {FILE: "1", f"{FILE}/x.py": "2"},
    "a folder and a file of one name": {f"{FILE}/x.py": "2", FILE: "1"},
    "targets that are a file and a folder": {f"a/{FILE}": "1", f"b/{FILE}/x.py": "2"},
    "a name of 300 characters": {f"{PART}/{'n' * 300}.py": "1", f"{'n' * 300}.ipynb": "1", FILE: "1"},
    "folders of 300 characters": {f"{'n' * 300}/{FILE}": "2", FILE: "1"},
    "a path of 5000 characters": {"/".join(["n" * 250] * 20) + f"/{FILE}": "2", FILE: "1"},
    "names of four bytes a character": {f"{PART}/{chr(0x1F600) * 100}.py": "1", FILE: "1"},
    "a folder that is called like nbgrader's": {
        f"extracted/zoe/{FILE}": "2",
        f"a/extracted/zoe/{FILE}": "3",
        FILE: "1",
    },
    "names with dots": {"07_optimizer.a.ipynb": "1", "07_optimizer.b.ipynb": "2", FILE: "1"},
    "names that leave the archive": {f"../../zoe/{FILE}": "2", f"/zoe/{FILE}": "2", FILE: "1"},
    "names of devices and dots": {f"{PART}/....py": "2", "..ipynb": "2", FILE: "1"},
}


@pytest.mark.parametrize("pack", [zip_of, tar_of])
@pytest.mark.parametrize("files", HOSTILE.values(), ids=HOSTILE)
def test_names_in_one_hand_in_stop_nobody_and_reach_nobody_else(collect, files, pack):
    collected = collect({"eve.zip": pack(files)})
    assert collected.keys() <= {"eve"}


def test_in_a_class_of_60_where_every_second_hand_in_is_hostile_the_others_are_collected_as_they_are(collect):
    count = 60
    contents = [*HOSTILE.values(), *({FILE: "\0" * 9}, {"x" * 200: "1"}, {f"{PART}/{FILE}": "1"}, {})]
    packed = [zip_of(files) for files in contents] + [b"", b"PK\x03\x04", b"no archive", zip_of({FILE: "1"})[:-30]]
    hostile = {f"hostile{number}.zip": packed[number % len(packed)] for number in range(count // 2)}
    honest = {f"learner{number}.zip": zip_of({FILE: f"answer {number}"}) for number in range(count // 2)}
    mixed = {name: content for pair in zip(hostile.items(), honest.items(), strict=True) for name, content in pair}
    collected = collect(mixed)
    assert {name: files for name, files in collected.items() if name.startswith("learner")} == {
        f"learner{number}": {FILE: f"answer {number}"} for number in range(count // 2)
    }
    assert not any("zoe" in name for name in collected)


def test_names_that_end_alike_are_kept_apart(collect):
    collected = collect({"eve.zip": zip_of({"07_optimizer.a.ipynb": "1", "07_optimizer.b.ipynb": "2"})})
    assert collected["eve"] == {"07_optimizer.a.ipynb": "1", "07_optimizer.b.ipynb": "2"}


@pytest.mark.parametrize("name", ["mary\\ann", "mary+ann", "mary-ann ", "mary\x1bann", "mary\u202eann", "mary-ann.tar"])
def test_no_learner_gets_the_folder_of_another(collect, name):
    collected = collect({f"{name}.zip": zip_of({FILE: "other"}), "mary-ann.zip": zip_of({FILE: "mary-ann"})})
    assert len(collected) == 2 and collected["mary-ann"] == {FILE: "mary-ann"}


@pytest.mark.parametrize("name", ["\x1b" * 200, "x" * 250, chr(0x1F600) * 60, "...", "-"])
def test_a_hand_in_of_any_name_is_collected(collect, name):
    assert list(collect({f"{name}.zip": zip_of({FILE: "1"})}).values()) in ([{FILE: "1"}], [])


def test_a_file_and_a_folder_of_one_name_are_two_learners(collect, tmp_path):
    (tmp_path / "downloaded" / PART / "archive").parent.mkdir(parents=True)
    collected = collect({"ada.zip": zip_of({FILE: "1"}), "ada.ipynb": b"{}", "ada": b"nothing that can be read"})
    assert len(collected) == 2


@pytest.mark.parametrize(
    "regexp", [r"(?P<student_id>zoe)?.*", r"[^_]*_(?P<student_id>.*)", r".*(?P<student_id>zoe)", r"(?P<other>.*)"]
)
@pytest.mark.parametrize("name", ["x_..", "x_", "x_../../zoe", "eve_zoe"])
def test_a_pattern_for_names_finds_no_path_and_stops_nobody(collect, tmp_path, regexp, name):
    options = [f"--CourseCollector.named_regexp={regexp}"]
    # The pattern may give Zoe's name to the file of another: it is the instructor's.
    collect({f"{name.replace('/', chr(92))}.zip": zip_of({f"{PART}/trainer.py": "2"})}, *options, check=False)
    assert {path.name for path in tmp_path.iterdir()} <= {
        "downloaded",
        "submitted",
        "nbgrader_config.py",
        "gradebook.db",
        ".nbgrader.log",
    }


def patterns() -> dict[str, tuple[str, str, str]]:
    """Return a learner, a pattern and a roster's column of the guide, by the name of a download."""
    rows, pattern = {}, ""
    for line in (REPOSITORY / "docs/instructors_guide.md").read_text().splitlines():
        if match := re.match(
            r"\| (?:Moodle|Canvas)[^|]* \| `([^`]+)` \| (?:`r\"(.+)\"`|the same) \| `(\w+)` \| `(\w+)`", line
        ):
            pattern = match[2] or pattern
            rows[match[1]] = (match[3], pattern, match[4])
    return rows


@pytest.mark.parametrize("name", patterns())
def test_the_guides_pattern_finds_the_platforms_number_in_the_names_of_its_downloads(collect, tmp_path, name):
    learner, pattern, _ = patterns()[name]
    name = name if name.endswith(".zip") else f"{name}/my_answers.zip"
    forged = "Eve_12345_assignsubmission_ x_7_assignsubmission_file_x.zip"
    path = tmp_path / "downloaded" / PART / "archive" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(zip_of({FILE: "1"}))
    collected = collect({forged: zip_of({FILE: "2"})}, f"--CourseCollector.named_regexp={pattern}", check=False)
    assert collected.pop(learner) == {FILE: "1"}
    assert set(collected) == {"zoe", forged.removesuffix(".zip")}


def test_the_guide_has_patterns_for_three_forms_of_names():
    assert len(patterns()) == 3


@pytest.mark.parametrize("name", patterns())
def test_the_column_that_the_guide_names_matches_the_numbers_that_its_pattern_finds(tmp_path, name):
    learner, _, column = patterns()[name]
    roster = tmp_path / "roster.csv"
    entry = f"Participant {learner}" if column == "Identifier" else learner
    roster.write_text(f"{column},Full name,Grade,Maximum grade,homework (1)\n{entry},Jane Doe,,100,\n7,Eve,,100,\n")
    matching = match_rows([learner], read_roster(roster), column)
    assert matching.submissions == {0: 0} and not matching.problems


def test_no_terminal_escape_reaches_the_log(collect, capfd):
    names = {f"\x1b[31m{PART}/{FILE}": "1", f"{PART}/\x1b]0;x\x07.py": "1", "../\x1b[2J.ipynb": "1", FILE: "1"}
    collect({"e\x1b[31mve.zip": tar_of(names), "b\x1bad.zip": b"PK\x03\x04 broken"})
    written = "".join(capfd.readouterr())
    assert "is left out" in written and "is damaged" in written
    assert "\x1b[31mve" not in written and "\x1b[2J" not in written and "\x07" not in written


@given(st.lists(st.text(min_size=1, max_size=80), unique=True, max_size=5), st.sampled_from(["mary-ann", "Ada Li_1_x"]))
def test_folders_are_names_of_one_folder_and_all_differ(names, honest):
    names = [honest, *(name for name in names if name != honest)]
    folders = folder_names(names)
    assert folders[0] == honest and len(set(folders)) == len(folders)
    for folder in folders:
        assert Path(folder).name == folder and not folder.startswith(".") and folder.isprintable()
        assert 0 < len(folder.encode()) <= 200 and "\\" not in folder
