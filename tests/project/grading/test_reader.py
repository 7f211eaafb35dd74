"""Whatever a submission holds, reading it has limits, and at most its own row suffers."""

import bz2
import gzip
import io
import json
import lzma
import os
import random
import string
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from submission_files import (
    ANSWER,
    PATH,
    exercise_cell,
    notebook_json,
    special_member,
    warnings_of,
    write_folder,
    write_tar,
    write_zip,
)

from rlhf_course.course import DEFAULT_PART
from rlhf_course.grading.judge.suite import run_suite
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox.proxies import SandboxedAnswers
from rlhf_course.grading.submissions import reader as reader_module
from rlhf_course.grading.submissions.archives import UnreadableSubmission
from rlhf_course.grading.submissions.limited_process import ReadingFailed, ReadingLimits
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, list_submissions
from rlhf_course.grading.submissions.reader import SubmissionReader, read_submission
from rlhf_course.grading.submissions.submission import Submission

EVERY_EXERCISE = tuple(exercise.name for exercise in DEFAULT_PART.exercises)
FILES = {PATH: ANSWER}


@pytest.fixture(scope="module")
def reader():
    with SubmissionReader(ReadingLimits(cpu_seconds=2, memory=400, deadline=60)) as reader:
        yield reader


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("honest"), FILES)


def read(reader: SubmissionReader, path: Path, honest: Path) -> Submission:
    """Read a submission, and check that an honest one after it is read as always."""
    submission = reader.read(SubmissionPath("eve", path))
    assert reader.read(SubmissionPath("ada", honest)) == Submission("ada", FILES)
    for text in (*submission.files, *submission.files.values(), *submission.warnings):
        text.encode("utf-8")
    assert all(warning.isprintable() for warning in submission.warnings) and len(submission.warnings) <= 51
    return submission


def pax_header(body: bytes, kind: bytes = tarfile.XHDTYPE, size: int | None = None) -> bytes:
    """The blocks of a tar with an extended header and one answer."""
    header, answer = tarfile.TarInfo("header"), tarfile.TarInfo(PATH)
    header.type, header.size, answer.size = kind, len(body) if size is None else size, len(ANSWER)
    padded = body + bytes(-len(body) % 512)
    content = ANSWER.encode() + bytes(-len(ANSWER) % 512)
    return header.tobuf(tarfile.USTAR_FORMAT) + padded + answer.tobuf(tarfile.USTAR_FORMAT) + content + bytes(1024)


def zip_of_large_files(count: int) -> bytes:
    """A small zip whose files are each larger than the maximum, but unpack to less than 200 times their size."""
    block = random.Random(1).randbytes(8_000) * 140
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(count):
            archive.writestr(f"part1_rlhf/{number}.py", block)
    return file.getvalue()


def many_members(count: int, member: tarfile.TarInfo | None = None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for number in range(count):
            item = tarfile.TarInfo(f"part1_rlhf/{number}.py")
            if member is not None:
                item.type, item.linkname = member.type, member.linkname
            archive.addfile(item)
    return gzip.compress(file.getvalue(), 1)


def zip_with_names(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, ANSWER)
    return file.getvalue()


UNREADABLE_ARCHIVES = {
    "a header of digits": ("a.tar.gz", lambda: gzip.compress(pax_header(b"1" * 300_000))),
    "a global header": ("a.tar.gz", lambda: gzip.compress(pax_header(b"9 a=b\n" * 90_000, tarfile.XGLTYPE))),
    "a long name of GNU": ("a.tar.xz", lambda: lzma.compress(pax_header(b"n" * 80_000, tarfile.GNUTYPE_LONGNAME))),
    "a header larger than its file": ("a.tar", lambda: pax_header(b"", size=7 * 10**9)),
    "large files": ("a.zip", lambda: zip_of_large_files(120)),
    "too many members": ("a.tgz", lambda: many_members(20_100)),
    "a bomb in xz": ("a.tar.xz", lambda: lzma.compress(bytes(230_000_000), preset=0)),
    "a bomb in gzip": ("a.tar.gz", lambda: gzip.compress(bytes(230_000_000), 1)),
    "a bomb in bzip2": ("a.tar.bz2", lambda: bz2.compress(bytes(230_000_000), 1)),
    "a cut xz": ("a.tar.xz", lambda: lzma.compress(pax_header(b""))[:-9]),
    "a cut gzip": ("a.tgz", lambda: gzip.compress(pax_header(b""))[:-9]),
    "no end record": ("a.zip", lambda: b"PK\x03\x04" * 5_000),
    "a member with a lone surrogate": ("a.zip", lambda: zip_with_names("a.txt").replace(b"a.txt", b"\xed\xa0\x80.t")),
}


@pytest.mark.parametrize("kind", UNREADABLE_ARCHIVES)
def test_a_hostile_archive_is_unreadable_or_empty_and_its_neighbour_is_read(reader, honest, tmp_path, kind):
    name, make = UNREADABLE_ARCHIVES[kind]
    (tmp_path / name).write_bytes(make())
    submission = read(reader, tmp_path / name, honest)
    assert not submission.files and len(submission.warnings) == 1
    if "surrogate" not in kind:
        assert submission.unreadable == EVERY_EXERCISE


def test_the_bytes_of_files_that_are_too_large_count_towards_the_total(reader, honest, tmp_path):
    (tmp_path / "few.zip").write_bytes(zip_of_large_files(3))
    assert len(read(reader, tmp_path / "few.zip", honest).warnings) == 3
    (tmp_path / "many.zip").write_bytes(zip_of_large_files(120))
    assert "holds more than 100 MB" in warnings_of(read(reader, tmp_path / "many.zip", honest))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_thousands_of_warnings_become_few(reader, honest, tmp_path, kind):
    (tmp_path / "a.tgz").write_bytes(many_members(3_000, special_member("", kind, "/etc/passwd")))
    submission = read(reader, tmp_path / "a.tgz", honest)
    assert submission.warnings[-1] == "there are 2950 further warnings"


def test_members_nested_too_deep_are_left_out(reader, honest, tmp_path):
    for path in (
        write_zip(tmp_path / "a.zip", {"d/" * 60 + PATH: ANSWER, PATH: ANSWER}),
        write_tar(tmp_path / "a.tar", {"d/" * 60 + PATH: ANSWER, PATH: ANSWER}),
    ):
        submission = read(reader, path, honest)
        assert submission.files == FILES and "nested deeper" in warnings_of(submission)


def test_an_honest_tar_with_extended_headers_is_read(reader, honest, tmp_path):
    member = tarfile.TarInfo(PATH)
    member.size, member.pax_headers = len(ANSWER), {"comment": "é" * 2_000, "LIBARCHIVE.xattr.user": "x" * 5_000}
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(ANSWER.encode()))
    assert read(reader, tmp_path / "a.tar.xz", honest) == Submission("eve", FILES)


# Encodings.

UNREAD_ENCODINGS = [
    "undefined",
    "punycode",
    "idna",
    "unicode_escape",
    "raw_unicode_escape",
    "utf-7",
    "utf-16-be",
    "utf-32",
    "mbcs",
    "oem",
    "rot13",
    "base64",
    "hex",
    "zlib",
    "bz2",
    "uu",
    "quopri",
    "charmap",
    "string_escape",
    "no-such-codec",
    "../../x",
    "utf8_sig_x",
    "big5",
    "cp437",
    "encodings.undefined",
]
READ_ENCODINGS = [
    "utf-8",
    "utf8",
    "UTF-8",
    "utf_8",
    "utf-8-sig",
    "ascii",
    "us-ascii",
    "latin-1",
    "latin1",
    "Latin-1",
    "iso-8859-1",
    "iso8859-15",
    "iso_8859_2",
    "cp1250",
    "cp1251",
    "cp1252",
    "windows-1252",
    "cp1258",
]


@pytest.mark.parametrize(
    "encoding",
    UNREAD_ENCODINGS,
)
@pytest.mark.parametrize("second_line", [False, True])
def test_a_file_in_another_encoding_is_unreadable_alone_with_a_sentence_that_names_it(
    reader, honest, tmp_path, encoding, second_line
):
    text = "#!/usr/bin/python\n" * second_line + f"# -*- coding: {encoding} -*-\n" + ANSWER
    files = {PATH: text, "part1_rlhf/get_logprobs.py": ANSWER}
    submission = read(reader, write_folder(tmp_path, files), honest)
    assert submission.files == {"part1_rlhf/get_logprobs.py": ANSWER}
    assert submission.unreadable == ("compute_advantages",)
    if encoding.replace("-", "").replace("_", "").isalnum():
        assert f"declares the encoding {encoding}, which is not read: save it as UTF-8" in warnings_of(submission)


def test_a_slow_codec_with_a_large_body_is_not_run(reader, honest, tmp_path):
    files = {PATH: "# coding: punycode\n" + "a-" * 200_000}
    assert "punycode" in warnings_of(read(reader, write_folder(tmp_path, files), honest))


@pytest.mark.parametrize(
    "encoding",
    READ_ENCODINGS,
)
def test_the_encodings_of_editors_are_read(reader, honest, tmp_path, encoding):
    body = "x = 'a'\n" if "ascii" in encoding else "x = 'ä'\n" if encoding not in ("cp1251",) else "x = 'д'\n"
    text = f"# vim: set fileencoding={encoding} :\n{body}{ANSWER}"
    submission = read(reader, write_folder(tmp_path, {PATH: text.encode(encoding)}), honest)
    assert not submission.warnings
    assert submission.files[PATH] == f"# vim: set fileencoding=utf-8 :\n{body}{ANSWER}"


@pytest.mark.parametrize(
    "content",
    [b"x = '\xed\xa0\x80'\n", b"\xff\xfex\x00\x00\xd8", b"\xfe\xff\xd8\x00", b"\xef\xbb\xbf\xed\xbf\xbf", b"\0" * 9],
)
def test_surrogates_and_null_bytes_in_a_file_reach_nobody_else(reader, honest, tmp_path, content):
    submission = read(reader, write_folder(tmp_path, {PATH: content}), honest)
    assert submission.warnings


# Notebooks.


HOSTILE_NOTEBOOKS = {
    "many dicts": lambda: '{"cells": [' + ",".join(["{}"] * 8_000_000) + "]}",
    "many lists": lambda: "[" + "[]," * 8_000_000 + "0]",
    "deep": lambda: "[" * 5_000_000,
    "deep objects": lambda: '{"a":' * 3_000_000,
    "a long number": lambda: '{"cells": [' + "1" * 20_000_000 + "]}",
    "a float": lambda: '{"cells": [1' + "0" * 5_000_000 + ".5e9]}",
    "many keys": lambda: "{" + ",".join(f'"{number}": 0' for number in range(2_000_000)) + "}",
    "escapes": lambda: '{"cells": ["' + "\\ud800" * 3_000_000 + '"]}',
    "many magics": lambda: notebook_json(*["%%exercise compute_advantages\n#\n" for _ in range(100_000)]),
    "many unknown magics": lambda: notebook_json(*[f"%%exercise x{number}\n" for number in range(100_000)]),
    "comments above a magic": lambda: notebook_json("#\n" * 5_000_000 + "%%exercis"),
    "blanks above a magic": lambda: notebook_json(" " * 9_000_000 + "# \n" + "\n" * 900_000),
}


@pytest.mark.parametrize("kind", HOSTILE_NOTEBOOKS)
def test_a_hostile_notebook_ends_within_the_limits_and_its_neighbour_is_read(reader, honest, tmp_path, kind):
    submission = read(reader, write_folder(tmp_path, {"a.ipynb": HOSTILE_NOTEBOOKS[kind]()}), honest)
    assert set(submission.files) <= {PATH} and bool(submission.files) == (kind == "many magics")
    assert bool(submission.warnings) != bool(submission.files)


def test_a_damaged_notebook_makes_the_exercises_unreadable_that_it_may_hold(reader, honest, tmp_path):
    write_folder(tmp_path / "one", {PATH: ANSWER, "07_optimizer.ipynb": "{"})
    assert read(reader, tmp_path / "one", honest).unreadable == ("get_optimizer",)
    write_folder(tmp_path / "two", {PATH: ANSWER, "homework.ipynb": "{"})
    unreadable = read(reader, tmp_path / "two", honest).unreadable
    assert set(unreadable) == set(EVERY_EXERCISE) - {"compute_advantages"}
    write_folder(tmp_path / "three", {"01_environment.ipynb": "{"})
    assert not read(reader, tmp_path / "three", honest).unreadable


# Limits, and replies of an unexpected form.


def test_a_submission_that_exceeds_a_limit_is_unreadable_with_the_limit_as_reason(honest, tmp_path):
    path = write_folder(tmp_path, {"a.ipynb": HOSTILE_NOTEBOOKS["many dicts"]()})
    with SubmissionReader(ReadingLimits(memory=120)) as reader:
        submission = reader.read(SubmissionPath("eve", path))
        assert submission.warnings == ("the submission needs more than 120 MB of memory to read",)
        assert submission.unreadable == EVERY_EXERCISE
        assert reader.read(SubmissionPath("ada", honest)).files == FILES
    with SubmissionReader(ReadingLimits(deadline=0.001)) as reader:
        assert "took longer than 0.001 seconds" in warnings_of(reader.read(SubmissionPath("ada", honest)))
    with SubmissionReader(ReadingLimits(memory=120)) as reader, pytest.raises(UnreadableSubmission, match="memory"):
        (tmp_path / "large.tar").write_bytes(pax_header(b""))
        large = write_folder(tmp_path / "large", {f"{number}.ipynb": " " * 45_000_000 for number in range(2)})
        reader.read_source(large)


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {},
        {"files": [], "warnings": [], "other_parts": [], "unreadable": []},
        {"files": {PATH: 1}, "warnings": [], "other_parts": [], "unreadable": []},
        {"files": {}, "warnings": "x", "other_parts": [], "unreadable": []},
        {"files": {}, "warnings": [[]], "other_parts": [], "unreadable": []},
        {"files": {"../x": ""}, "warnings": [], "other_parts": [], "unreadable": []},
        {"files": {"/x": ""}, "warnings": [], "other_parts": [], "unreadable": []},
    ],
)
def test_a_reply_of_another_form_makes_the_submission_unreadable(tmp_path, monkeypatch, fields):
    reader = SubmissionReader()
    monkeypatch.setattr(reader._process, "call", lambda *_: fields)
    assert reader.read(SubmissionPath("eve", tmp_path)).unreadable == EVERY_EXERCISE
    with pytest.raises((ReadingFailed, UnreadableSubmission)):
        reader_module._source(fields if fields != {} else None)


def test_unknown_names_in_a_reply_are_left_out_and_surrogates_replaced(tmp_path, monkeypatch):
    reader = SubmissionReader()
    fields = {"files": {PATH: "\ud800"}, "warnings": ["\ud800"], "other_parts": ["x"], "unreadable": ["x"]}
    monkeypatch.setattr(reader._process, "call", lambda *_: fields)
    assert reader.read(SubmissionPath("eve", tmp_path)) == Submission("eve", {PATH: "?"}, ("?",))


def test_the_source_of_a_submission_is_read_in_the_process(reader, tmp_path):
    source = reader.read_source(write_zip(tmp_path / "a.zip", {PATH: b"\xff\x00", "b.ipynb": "{}", "c.txt": "x"}))
    assert {str(path): content for path, content in source.files.items()} == {PATH: b"\xff\x00", "b.ipynb": b"{}"}
    (tmp_path / "b.zip").write_bytes(b"")
    with pytest.raises(UnreadableSubmission, match="is no folder"):
        reader.read_source(tmp_path / "b.zip")


# What the status means.


def test_the_tests_of_an_unreadable_exercise_are_unreadable_and_those_of_a_missing_one_missing():
    submission = Submission("eve", {}, unreadable=("calc_entropy_bonus",))
    with SandboxedAnswers(None, submission, ResourceLimits()) as answers:  # type: ignore[arg-type]
        run = run_suite(answers, ["calc_entropy_bonus", "calc_kl_penalty"])
    assert {test.status for test in run["calc_entropy_bonus"]} == {"unreadable"}
    assert {test.status for test in run["calc_kl_penalty"]} == {"missing"}


# Fuzzing: no exception leaves reading, and the neighbour is read as always.


quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
names = st.one_of(
    st.sampled_from([PATH, f"a/{PATH}", "05.ipynb", "part1_rlhf", "part1_rlhf/__init__.py", "a.zip", f"../{PATH}"]),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).map(lambda text: f"part1_rlhf/{text}.py"),
    st.text(string.printable, min_size=1, max_size=40),
)
encodings = st.sampled_from(
    ["utf-8", "undefined", "punycode", "idna", "utf-7", "latin-1", "cp1252", "utf-16", "hex", "\0", "x" * 500, ""]
)
contents = st.one_of(
    st.binary(max_size=400),
    st.builds(lambda encoding, body: f"# coding: {encoding}\n".encode() + body, encodings, st.binary(max_size=100)),
    st.just(notebook_json(exercise_cell(ANSWER)).encode()),
    st.just(ANSWER.encode()),
)


def packed(kind: str, files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=file, mode=f"w:{kind}") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@quick
@given(st.data())
def test_no_archive_raises_an_exception_or_changes_its_neighbour(reader, honest, tmp_path, data):
    kind = data.draw(st.sampled_from(["zip", "", "gz", "bz2", "xz"]))
    content = bytearray(packed(kind, data.draw(st.dictionaries(names, contents, max_size=4))))
    for _ in range(data.draw(st.integers(0, 6))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(content), len(content) // 2]))
    path = tmp_path / data.draw(st.sampled_from(["a.zip", "a.tar", "a.tgz", "a.ipynb", "a.py", "a"]))
    path.write_bytes(content[:end])
    read(reader, path, honest)


@quick
@given(contents, contents)
def test_no_encoding_raises_an_exception_or_changes_its_neighbour(reader, honest, tmp_path, content, notebook):
    read(reader, write_folder(tmp_path, {PATH: content, "a.ipynb": notebook}), honest)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("code"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["cells", "cell_type", "source", "metadata", "nbgrader", "grade_id"]), inner)
    ),
    max_leaves=20,
)


@quick
@given(st.dictionaries(st.sampled_from(["cells", "worksheets", "metadata"]), values), st.binary(max_size=20))
def test_no_notebook_raises_an_exception_or_changes_its_neighbour(reader, honest, tmp_path, notebook, noise):
    read(reader, write_folder(tmp_path, {"a.ipynb": json.dumps(notebook).encode() + noise}), honest)


@quick
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4))
def test_no_name_raises_an_exception_or_changes_its_neighbour(reader, honest, tmp_path, raw_names):
    folder = tmp_path / "class"
    (folder / "part1_rlhf").mkdir(parents=True, exist_ok=True)
    for raw in raw_names:
        name = raw.replace(b"/", b"-").replace(b"\0", b"-")
        if name not in (b".", b".."):
            Path(os.fsdecode(os.path.join(os.fsencode(folder / "part1_rlhf"), name + b".py"))).write_text(ANSWER)
    read(reader, folder, honest)
    assert all(path.name.isprintable() for path in list_submissions([folder / "part1_rlhf"], each=True))


def test_one_submission_can_be_read_without_a_reader(tmp_path):
    assert read_submission(SubmissionPath("ada", write_folder(tmp_path, FILES))) == Submission("ada", FILES)
