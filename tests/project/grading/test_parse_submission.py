"""Reading submissions: which text is graded, what is said about it, and that nothing a stranger packs can hurt."""

import io
import json
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from submission_files import FILE, OTHER, PATH, STUB, WORK, cell, folder, notebook, read, said, special, tarred, zipped

from rlhf_course.course import BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.grading.submissions import archives, parse_submission
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, list_submissions, read_submission
from rlhf_course.stubs import stub_of

FILES = {PATH: WORK}


# What is graded.


@pytest.mark.parametrize("depth", ["", "work/", "a/b/c/"])
def test_the_folder_of_answers_is_found_at_any_depth(tmp_path, depth):
    submission = read(folder(tmp_path, {depth + PATH: WORK}))
    assert submission.files == {PATH: WORK} and not submission.warnings


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tgz", "tar.bz2"])
def test_an_archive_reads_as_its_folder_does(tmp_path, ending):
    path = tmp_path / f"ada.{ending}"
    if ending == "tgz":
        tarred(tmp_path / "ada.tar.gz", FILES).rename(path)
    else:
        (zipped if ending == "zip" else tarred)(path, FILES)
    submission = read(path)
    assert submission.files == {PATH: WORK} and not submission.warnings


def test_the_folder_part1_rlhf_itself_can_be_handed_in(tmp_path):
    folder(tmp_path, {PATH: WORK, "part1_rlhf/tools/shapes.py": "N = 1\n"})
    submission = read(tmp_path / "part1_rlhf")
    assert submission.files == {PATH: WORK, "part1_rlhf/tools/shapes.py": "N = 1\n"} and not submission.warnings


def test_a_link_to_a_submission_is_followed(tmp_path):
    folder(tmp_path / "real", FILES)
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert read(tmp_path / "link").files == {PATH: WORK}


def test_a_notebook_alone_gives_its_cells(tmp_path):
    path = (
        folder(
            tmp_path,
            {"05.ipynb": notebook("x = 1", "\n" + cell(WORK), cell(stub_of(BY_NAME["get_logprobs"]), "get_logprobs"))},
        )
        / "05.ipynb"
    )
    submission = read(path)
    assert submission.files == {PATH: WORK} and not submission.warnings


@pytest.mark.parametrize(
    "file", [None, STUB, STUB.replace("\n", "  \r\n"), ""], ids=["missing", "stub", "stub from Windows", "empty"]
)
def test_a_cell_stands_in_for_a_file_without_work(tmp_path, file):
    files = {"05.ipynb": notebook(cell(WORK))} | ({} if file is None else {PATH: file})
    submission = read(folder(tmp_path, files))
    assert submission.files[PATH] == WORK
    assert ("untouched stub; the cell in 05.ipynb was graded" in said(submission)) == (file is not None)


def test_a_file_with_work_wins_over_its_cell_and_the_difference_is_said(tmp_path):
    submission = read(folder(tmp_path, {PATH: WORK, "05.ipynb": notebook(cell(OTHER))}))
    assert submission.files == FILES
    assert (
        said(submission)
        == "compute_advantages: compute_advantages.py and the cell in 05.ipynb differ; the file was graded"
    )


@pytest.mark.parametrize(
    "other", [STUB, WORK, WORK.replace("\n", " \n") + "\n\n"], ids=["stub", "same", "same but for blanks"]
)
def test_a_cell_that_adds_nothing_to_the_file_is_no_matter(tmp_path, other):
    submission = read(folder(tmp_path, {PATH: WORK, "05.ipynb": notebook(cell(other))}))
    assert submission.files == FILES and not submission.warnings


def test_untouched_stubs_are_not_handed_in(tmp_path):
    submission = read(folder(tmp_path, {PATH: STUB}))
    assert submission.files == {} and not submission.warnings


def test_the_last_of_several_cells_with_work_counts_and_is_named(tmp_path):
    path = folder(tmp_path, {"05.ipynb": notebook(cell(WORK), cell(OTHER), cell(STUB))}) / "05.ipynb"
    submission = read(path)
    assert submission.files == {PATH: OTHER}
    assert "2 cells hold different answers; the last one in 05.ipynb counts" in said(submission)


def test_a_cell_in_the_notebook_that_teaches_the_exercise_comes_before_others(tmp_path):
    home, other = "05_advantages_and_memory.ipynb", "09_sentiment.ipynb"
    submission = read(
        folder(tmp_path, {home: notebook(cell(WORK)), other: notebook(cell(OTHER)), "a.ipynb": notebook(cell(OTHER))})
    )
    assert submission.files == FILES and home in said(submission)


def test_a_cell_that_was_copied_unchanged_is_no_matter(tmp_path):
    submission = read(folder(tmp_path, {"05.ipynb": notebook(cell(WORK), cell(WORK))}))
    assert submission.files == FILES and not submission.warnings


def test_a_cell_that_lost_its_magic_is_known_by_its_metadata(tmp_path):
    bare = {
        "cell_type": "code",
        "source": WORK.splitlines(keepends=True),
        "metadata": {"nbgrader": {"grade_id": "exercise-compute_advantages"}},
    }
    submission = read(folder(tmp_path, {"05.ipynb": notebook(bare)}))
    assert submission.files == FILES and "has lost its first line" in said(submission)


def test_of_several_folders_the_one_with_work_is_graded_and_the_others_are_named(tmp_path):
    submission = read(folder(tmp_path, {f"a/{PATH}": STUB, f"b/c/{PATH}": WORK, f"d/e/f/{PATH}": OTHER}))
    assert submission.files == FILES
    assert (
        said(submission)
        == "several folders hold answers: b/c/part1_rlhf was graded, not a/part1_rlhf, d/e/f/part1_rlhf"
    )


def test_in_a_clone_of_the_course_the_solutions_are_not_taken_for_the_learners_work(tmp_path):
    submission = read(folder(tmp_path, {f"notebooks/{PATH}": STUB, f"solutions/{PATH}": WORK}))
    assert submission.files == {}


def test_answers_beside_each_other_without_their_folder_are_found(tmp_path):
    submission = read(zipped(tmp_path / "ada.zip", {FILE: WORK}))
    assert submission.files == FILES and "there is no part1_rlhf/" in said(submission)


@pytest.mark.parametrize("place", ["__MACOSX", ".ipynb_checkpoints", "part1_rlhf/.history", ".venv/lib", "__pycache__"])
def test_what_programs_leave_behind_is_not_taken_for_work(tmp_path, place):
    files = {
        PATH: WORK,
        f"{place}/{PATH}": OTHER,
        f"{place}/._{FILE}": b"\0",
        f"{place}/05.ipynb": notebook(cell(OTHER)),
    }
    for path in (
        folder(tmp_path / "ada", files),
        zipped(tmp_path / "ada.zip", files),
        tarred(tmp_path / "ada.tar", files),
    ):
        submission = read(path)
        assert submission.files == FILES and not submission.warnings


def test_a_folder_with_nothing_but_one_archive_stands_for_it(tmp_path):
    folder(tmp_path / "ada", {"notes.txt": "here it is"})
    zipped(tmp_path / "ada" / "work.zip", FILES)
    assert read(tmp_path / "ada").files == FILES


# What cannot be read.


def unreadable(path: Path, *words: str) -> None:
    submission = read(path)
    assert not submission.files and len(submission.warnings) == 1
    for word in words:
        assert word in said(submission)


def test_an_archive_in_an_archive_is_refused(tmp_path):
    inner = zipped(tmp_path / "inner.zip", FILES).read_bytes()
    unreadable(
        zipped(tmp_path / "ada.zip", {"work/inner.zip": inner}), "an archive inside (work/inner.zip)", "unpack it"
    )
    unreadable(tarred(tmp_path / "ada.tar.gz", {"inner.zip": inner}), "an archive inside")
    unreadable(folder(tmp_path / "two", {"a.zip": inner, "b.rar": b"Rar!"}), "an archive inside (a.zip)")


def test_an_archive_beside_the_work_is_left_closed_and_mentioned(tmp_path):
    submission = read(zipped(tmp_path / "ada.zip", {PATH: WORK, "more.7z": b"7z"}))
    assert submission.files == FILES and "more.7z is an archive inside" in said(submission)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("ada.zip", b"", "no folder, zip, tar or notebook"),
        ("ada.pdf", b"%PDF-1.7", "no folder, zip, tar or notebook"),
        ("ada.7z", b"7z\xbc\xaf\x27\x1c", "no folder, zip, tar or notebook"),
        ("ada.zip", b"PK\x03\x04 and then nothing", "is damaged"),
        ("ada.tar.gz", b"\x1f\x8b\x08 and then nothing", "is damaged"),
        ("ada.tar.bz2", b"BZh9 and then nothing", "cannot be read"),
        ("ada.ipynb", b"{", "no readable notebook"),
    ],
)
def test_what_is_no_submission_says_so(tmp_path, name, content, word):
    submission = read(folder(tmp_path, {name: content}) / name)
    assert not submission.files and word in said(submission)


def test_a_folder_without_answers_says_what_was_looked_for(tmp_path):
    unreadable(folder(tmp_path, {"essay.txt": "PPO"}), "no part1_rlhf/")


def test_a_pipe_is_not_waited_for(tmp_path):
    folder(tmp_path, {"part1_rlhf/get_logprobs.py": WORK})
    os.mkfifo(tmp_path / PATH)
    submission = read(tmp_path)
    assert PATH not in submission.files and "is no ordinary file" in said(submission)
    os.mkfifo(tmp_path / "ada.zip")
    unreadable(tmp_path / "ada.zip", "no folder, archive or notebook")


# Hostile archives.


@pytest.mark.parametrize(
    "name", ["../" + PATH, "/" + PATH, "a/../../" + PATH, "..\\part1_rlhf\\" + FILE, "C:\\part1_rlhf\\" + FILE]
)
def test_paths_that_leave_the_archive_are_refused(tmp_path, name):
    (tmp_path / "box").mkdir()
    for path in (zipped(tmp_path / "box/ada.zip", {name: WORK}), tarred(tmp_path / "box/ada.tar", {name: WORK})):
        submission = read(path)
        assert not submission.files and "would lie outside of the archive" in said(submission)
    assert sorted(os.listdir(tmp_path)) == ["box"] and sorted(os.listdir(tmp_path / "box")) == ["ada.tar", "ada.zip"]


def test_backslashes_of_windows_part_folders(tmp_path):
    path = zipped(tmp_path / "ada.zip", {"work/part1_rlhf/X": WORK})
    path.write_bytes(path.read_bytes().replace(b"work/part1_rlhf/X", b"w\\part1_rlhf\\a.py"))
    assert read(path).files == {"part1_rlhf/a.py": WORK}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_of_a_tar_are_passed_over(tmp_path, kind):
    submission = read(tarred(tmp_path / "ada.tar", {PATH: special(PATH, kind, "/etc/passwd"), "part1_rlhf/a.py": WORK}))
    assert submission.files == {"part1_rlhf/a.py": WORK} and PATH in said(submission)


def test_links_of_a_zip_are_passed_over(tmp_path):
    link = zipfile.ZipInfo(PATH)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    submission = read(tmp_path / "ada.zip")
    assert not submission.files and "is a link and was not followed" in said(submission)


def test_links_in_a_folder_are_not_followed(tmp_path):
    folder(
        tmp_path, {"secret/part1_rlhf/get_logprobs.py": WORK, "secret/key.py": "KEY = 1\n", "ada/part1_rlhf/a.py": WORK}
    )
    (tmp_path / "ada" / PATH).symlink_to(tmp_path / "secret" / "key.py")
    (tmp_path / "ada" / "more").symlink_to(tmp_path / "secret", target_is_directory=True)
    (tmp_path / "ada" / "round").symlink_to(tmp_path / "ada", target_is_directory=True)
    submission = read(tmp_path / "ada")
    assert (
        submission.files == {"part1_rlhf/a.py": WORK} and said(submission) == f"{PATH} is a link and was not followed"
    )


def test_a_file_that_unpacks_to_far_more_than_its_size_is_not_read(tmp_path):
    submission = read(zipped(tmp_path / "ada.zip", {"05.ipynb": b" " * 20_000_000, PATH: WORK}))
    assert submission.files == FILES and "unpacks to more than 200 times its size" in said(submission)


def test_a_zip_that_lies_about_a_files_size_is_read_no_further_than_the_cap(tmp_path, monkeypatch):
    monkeypatch.setitem(archives.LARGEST, ".py", 1000)
    path = zipped(tmp_path / "ada.zip", {PATH: "#" * 100_000})
    size, small = (100_000).to_bytes(4, "little"), (900).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, small))
    submission = read(path)
    assert not submission.files.get(PATH)


def test_a_tar_that_unpacks_without_end_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_ARCHIVE", 3_000_000)
    unreadable(
        tarred(tmp_path / "ada.tar.gz", {"weights.bin": bytes(9_000_000), PATH: WORK}), "unpacks to more than 3 MB"
    )


def test_a_sparse_file_is_not_filled_in(tmp_path, monkeypatch):
    monkeypatch.setitem(archives.LARGEST, ".py", 1000)
    folder(tmp_path, {"part1_rlhf/a.py": WORK})
    with open(tmp_path / PATH, "wb") as file:
        file.truncate(10**12)
    submission = read(tmp_path)
    assert submission.files == {"part1_rlhf/a.py": WORK} and f"{PATH} is larger than" in said(submission)


def test_too_many_files_are_refused_in_a_folder_and_in_every_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 30)
    many = {f"{number}.txt": "" for number in range(40)} | FILES
    for path in (
        folder(tmp_path / "ada", many),
        zipped(tmp_path / "ada.zip", many),
        tarred(tmp_path / "ada.tar", many),
    ):
        unreadable(path, "more than 30 files")


def test_a_zips_listing_is_not_read_where_it_is_as_long_as_only_an_attacks(tmp_path, monkeypatch):
    path = zipped(tmp_path / "ada.zip", {f"{number}.txt": "" for number in range(200)})
    monkeypatch.setattr(archives, "LARGEST_LISTING", 5_000)
    unreadable(path, "lists too many files")
    path.write_bytes(path.read_bytes()[:-2] + b"\x05\x00about")  # with a comment at the end
    unreadable(path, "lists too many files")


def test_the_whole_of_a_submission_is_capped(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_TOTAL", 2_000)
    unreadable(folder(tmp_path, {f"part1_rlhf/{number}.py": "#" * 900 for number in range(5)}), "more than")


def test_files_beside_the_answers_are_left_out_where_they_are_too_much_or_cannot_be_named(tmp_path, monkeypatch):
    monkeypatch.setattr(parse_submission, "_MOST_BESIDE", 500)
    (tmp_path / "part1_rlhf").mkdir()
    (tmp_path / "part1_rlhf" / os.fsdecode(b"\xff.py")).write_text(WORK)
    submission = read(
        folder(
            tmp_path, {PATH: WORK, "part1_rlhf/a\\b.py": WORK, "part1_rlhf/big.py": "#" * 450, "part1_rlhf/ok.py": WORK}
        )
    )
    assert submission.files == {PATH: WORK, "part1_rlhf/ok.py": WORK} and len(submission.warnings) == 3


def test_folders_without_bottom_are_left(tmp_path):
    deep = tmp_path / "/".join("d" * 60)
    folder(deep, {"part1_rlhf/a.py": WORK})
    folder(tmp_path, FILES)
    submission = read(tmp_path)
    assert submission.files == FILES and "nested deeper" in said(submission)


def test_an_encrypted_file_is_mentioned(tmp_path):
    path = zipped(tmp_path / "ada.zip", {PATH: WORK})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    submission = read(path)
    assert not submission.files and "is encrypted" in said(submission)


# Encodings.


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"\xef\xbb\xbf" + WORK.encode(), ""),
        (WORK.replace("\n", "\r\n").encode(), ""),
        (WORK.replace("\n", "\r").encode(), ""),
        (b"\xff\xfe" + WORK.encode("utf-16-le"), "UTF-16"),
        (WORK.encode("utf-16-be"), "null bytes"),
    ],
    ids=["byte order mark", "Windows", "old Mac", "UTF-16", "UTF-16 without a mark"],
)
def test_text_is_read_whatever_its_editor_made_of_it(tmp_path, content, word):
    submission = read(folder(tmp_path, {PATH: content}))
    assert word in said(submission) and bool(word) == bool(submission.warnings)
    if word != "null bytes":
        assert submission.files == FILES


def test_letters_of_latin_1_are_read_and_said(tmp_path):
    submission = read(folder(tmp_path, {PATH: "# é\n".encode("latin-1") + WORK.encode()}))
    assert submission.files[PATH] == "# é\n" + WORK and "read as latin-1" in said(submission)


def test_a_declared_encoding_is_honoured_and_not_carried_on(tmp_path):
    submission = read(folder(tmp_path, {PATH: "# -*- coding: cp1251 -*-\nx = 'да'\n".encode("cp1251")}))
    assert submission.files[PATH] == "# -*- coding: utf-8 -*-\nx = 'да'\n" and not submission.warnings


def test_half_characters_of_a_notebook_can_be_written_to_a_file(tmp_path):
    path = folder(tmp_path, {"a.ipynb": notebook(cell(WORK + "x = '\ud800'\n"))}) / "a.ipynb"
    assert read(path).files[PATH].encode().startswith(WORK.encode())


# Broken notebooks.


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        "null",
        "[" * 100_000,
        '{"cells": 1}',
        '{"cells": [1, null, {}, {"cell_type": "code"}]}',
        '{"worksheets": [3]}',
        "\xff",
    ],
)
def test_a_broken_notebook_leaves_the_files_beside_it_graded(tmp_path, text):
    submission = read(folder(tmp_path, {PATH: WORK, "a.ipynb": text.encode("latin-1")}))
    assert submission.files == FILES


def test_a_notebook_of_an_old_format_is_read(tmp_path):
    old = {
        "worksheets": [{"cells": [{"cell_type": "code", "input": cell(WORK).splitlines(keepends=True)}]}],
        "nbformat": 3,
    }
    assert read(folder(tmp_path, {"a.ipynb": json.dumps(old)})).files == FILES


def test_a_cell_for_no_exercise_is_mentioned(tmp_path):
    submission = read(folder(tmp_path, {PATH: WORK, "a.ipynb": notebook("%%exercise compute_advantage\nx = 1")}))
    assert "a cell for compute_advantage, which is no exercise" in said(submission)


anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=20) | st.just(cell(WORK)) | st.just("code"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["cells", "cell_type", "source", "metadata", "nbgrader", "grade_id", "worksheets"]), inner
        )
    ),
    max_leaves=15,
)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(st.dictionaries(st.sampled_from(["cells", "worksheets", "metadata"]), anything))
def test_no_notebook_stops_the_reading(tmp_path, content):
    path = folder(tmp_path, {"a.ipynb": json.dumps(content)}) / "a.ipynb"
    submission = read(path)
    assert set(submission.files) <= {PATH}


@quick
@given(st.binary(max_size=300), st.sampled_from(["a.zip", "a.tar.gz", "a.tar", "a.ipynb", PATH]), st.data())
def test_no_damage_stops_the_reading(tmp_path, noise, name, data):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(PATH, WORK)
    whole = packed.getvalue()
    at = data.draw(st.integers(0, len(whole)))
    path.write_bytes(
        data.draw(
            st.sampled_from(
                [noise, whole[:at] + noise + whole[at:], whole[:at], b"\x1f\x8b" + noise, b"PK\x03\x04" + noise]
            )
        )
    )
    submission = read(tmp_path if name == PATH else path)
    for text in (*submission.files.values(), *submission.warnings):
        text.encode("utf-8")


# Names.


def test_each_entry_of_a_folder_is_a_submission_and_none_vanishes(tmp_path):
    folder(tmp_path, {f"cy/{PATH}": WORK, "bob.ipynb": notebook(cell(WORK)), "dee.pdf": b"%PDF", ".DS_Store": b""})
    zipped(tmp_path / "ada.zip", FILES)
    handed_in = list_submissions([tmp_path], each=True)
    assert [one.name for one in handed_in] == ["ada", "bob", "cy", "dee.pdf"]
    assert [bool(read_submission(one).files) for one in handed_in] == [True, True, True, False]


def test_submissions_of_one_name_are_told_apart(tmp_path):
    folder(tmp_path, {f"ada/{PATH}": WORK, f"x/notebooks/{PATH}": WORK, f"y/notebooks/{PATH}": WORK})
    zipped(tmp_path / "ada.zip", FILES)
    assert [one.name for one in list_submissions([tmp_path / "ada", tmp_path / "ada.zip"], False)] == ["ada", "ada.zip"]
    names = [one.name for one in list_submissions([tmp_path / "x/notebooks", tmp_path / "y/notebooks"], False)]
    assert names == [str(tmp_path / "x/notebooks"), str(tmp_path / "y/notebooks")]
    assert [one.name for one in list_submissions([tmp_path / "ada"] * 3, False)][1:] == [
        f"{tmp_path / 'ada'} (2)",
        f"{tmp_path / 'ada'} (3)",
    ]


def test_a_name_cannot_command_a_terminal_or_turn_the_writing_round(tmp_path):
    names = [b"a\x1b[31m", "a\u202eb".encode(), b"a\nb", b"\xff\xfe"]
    for name in names:
        os.mkdir(os.fsencode(tmp_path) + b"/" + name)
    for one in list_submissions([tmp_path], each=True):
        assert one.name.isprintable() and one.name.encode()


def test_a_path_that_does_not_exist_is_bad_usage(tmp_path):
    with pytest.raises(CourseError, match="does not exist"):
        list_submissions([tmp_path / "nobody"], False)
    with pytest.raises(CourseError, match="--each takes a folder"):
        list_submissions([folder(tmp_path, {"a.txt": ""}) / "a.txt"], True)
    with pytest.raises(CourseError, match="holds no submission"):
        list_submissions([folder(tmp_path / "empty", {".hidden": ""})], True)


def test_a_submission_that_vanishes_is_said_to_be_unreadable(tmp_path):
    submission = read_submission(SubmissionPath("ada", tmp_path / "gone"))
    assert not submission.files and "cannot be read: No such file" in said(submission)
