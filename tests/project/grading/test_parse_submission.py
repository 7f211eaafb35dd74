"""Reading a submission finds the right text, warns of everything unusual, and survives hostile files."""

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
from submission_files import (
    ANSWER,
    FILE,
    OTHER_ANSWER,
    PATH,
    STUB,
    exercise_cell,
    notebook_json,
    read_path,
    special_member,
    warnings_of,
    write_folder,
    write_tar,
    write_zip,
)

from rlhf_course.course import BY_NAME, DEFAULT_PART, EXERCISES
from rlhf_course.errors import CourseError
from rlhf_course.grading.submissions import archives
from rlhf_course.grading.submissions import parse_submission as parsing
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, list_submissions, parse_submission
from rlhf_course.stubs import stub_of

FILES = {PATH: ANSWER}


# What is graded.


@pytest.mark.parametrize("depth", ["", "work/", "a/b/c/"])
def test_the_folder_of_answers_is_found_at_any_depth(tmp_path, depth):
    submission = read_path(write_folder(tmp_path, {depth + PATH: ANSWER}))
    assert submission.files == {PATH: ANSWER} and not submission.warnings


def test_another_part_was_handed_in_where_it_holds_an_answer_and_not_only_stubs(tmp_path):
    other = next(exercise for exercise in EXERCISES if exercise.part != DEFAULT_PART.name)
    untouched = read_path(write_folder(tmp_path / "a", {PATH: ANSWER, other.path: stub_of(other)}))
    assert untouched.other_parts == ()
    written = stub_of(other).replace('raise NotImplementedError("write this part")', "return chosen_rewards.sum()")
    assert read_path(write_folder(tmp_path / "b", {PATH: ANSWER, other.path: written})).other_parts == (other.part,)
    cell = notebook_json(exercise_cell(written, other.name))
    assert read_path(write_folder(tmp_path / "c", {PATH: ANSWER, "10.ipynb": cell})).other_parts == (other.part,)


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tgz", "tar.bz2"])
def test_an_archive_reads_as_its_folder_does(tmp_path, ending):
    path = tmp_path / f"ada.{ending}"
    if ending == "tgz":
        write_tar(tmp_path / "ada.tar.gz", FILES).rename(path)
    else:
        (write_zip if ending == "zip" else write_tar)(path, FILES)
    submission = read_path(path)
    assert submission.files == {PATH: ANSWER} and not submission.warnings


def test_the_folder_part1_rlhf_itself_can_be_handed_in(tmp_path):
    write_folder(tmp_path, {PATH: ANSWER, "part1_rlhf/tools/shapes.py": "N = 1\n"})
    submission = read_path(tmp_path / "part1_rlhf")
    assert submission.files == {PATH: ANSWER, "part1_rlhf/tools/shapes.py": "N = 1\n"}
    assert "part1_rlhf/ holds tools/shapes.py, named like no exercise" in warnings_of(submission)


def test_a_link_to_a_submission_is_followed(tmp_path):
    write_folder(tmp_path / "real", FILES)
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert read_path(tmp_path / "link").files == {PATH: ANSWER}


def test_a_notebook_alone_gives_its_cells(tmp_path):
    path = (
        write_folder(
            tmp_path,
            {
                "05.ipynb": notebook_json(
                    "x = 1",
                    "\n" + exercise_cell(ANSWER),
                    exercise_cell(stub_of(BY_NAME["get_logprobs"]), "get_logprobs"),
                )
            },
        )
        / "05.ipynb"
    )
    submission = read_path(path)
    assert submission.files == {PATH: ANSWER} and not submission.warnings


@pytest.mark.parametrize(
    "file", [None, STUB, STUB.replace("\n", "  \r\n"), ""], ids=["missing", "stub", "stub from Windows", "empty"]
)
def test_a_cell_stands_in_for_a_file_without_work(tmp_path, file):
    files = {"05.ipynb": notebook_json(exercise_cell(ANSWER))} | ({} if file is None else {PATH: file})
    submission = read_path(write_folder(tmp_path, files))
    assert submission.files[PATH] == ANSWER
    assert ("untouched stub; the cell in 05.ipynb was graded" in warnings_of(submission)) == (file is not None)


def test_a_file_with_work_is_graded_instead_of_its_cell_with_a_warning_of_the_difference(tmp_path):
    submission = read_path(
        write_folder(tmp_path, {PATH: ANSWER, "05.ipynb": notebook_json(exercise_cell(OTHER_ANSWER))})
    )
    assert submission.files == FILES
    assert (
        warnings_of(submission)
        == "compute_advantages: compute_advantages.py and the cell in 05.ipynb differ; the file was graded"
    )


@pytest.mark.parametrize(
    "other", [STUB, ANSWER, ANSWER.replace("\n", " \n") + "\n\n"], ids=["stub", "same", "same but for blanks"]
)
def test_a_cell_that_equals_the_file_or_the_stub_causes_no_warning(tmp_path, other):
    submission = read_path(write_folder(tmp_path, {PATH: ANSWER, "05.ipynb": notebook_json(exercise_cell(other))}))
    assert submission.files == FILES and not submission.warnings


def test_untouched_stubs_are_not_handed_in(tmp_path):
    submission = read_path(write_folder(tmp_path, {PATH: STUB}))
    assert submission.files == {} and not submission.warnings


def test_the_last_of_several_cells_with_work_is_graded_with_a_warning(tmp_path):
    path = (
        write_folder(
            tmp_path,
            {"05.ipynb": notebook_json(exercise_cell(ANSWER), exercise_cell(OTHER_ANSWER), exercise_cell(STUB))},
        )
        / "05.ipynb"
    )
    submission = read_path(path)
    assert submission.files == {PATH: OTHER_ANSWER}
    assert "2 cells hold different answers; the last one in 05.ipynb was graded" in warnings_of(submission)


def test_a_cell_in_the_notebook_that_teaches_the_exercise_comes_before_others(tmp_path):
    taught_in, other = "05_advantages_and_memory.ipynb", "09_sentiment.ipynb"
    submission = read_path(
        write_folder(
            tmp_path,
            {
                taught_in: notebook_json(exercise_cell(ANSWER)),
                other: notebook_json(exercise_cell(OTHER_ANSWER)),
                "a.ipynb": notebook_json(exercise_cell(OTHER_ANSWER)),
            },
        )
    )
    assert submission.files == FILES and taught_in in warnings_of(submission)


def test_an_unchanged_copy_of_a_cell_causes_no_warning(tmp_path):
    submission = read_path(
        write_folder(tmp_path, {"05.ipynb": notebook_json(exercise_cell(ANSWER), exercise_cell(ANSWER))})
    )
    assert submission.files == FILES and not submission.warnings


def test_a_cell_without_its_magic_is_recognised_by_its_metadata(tmp_path):
    bare = {
        "cell_type": "code",
        "source": ANSWER.splitlines(keepends=True),
        "metadata": {"nbgrader": {"grade_id": "exercise-compute_advantages"}},
    }
    submission = read_path(write_folder(tmp_path, {"05.ipynb": notebook_json(bare)}))
    assert submission.files == FILES and "has lost its first line" in warnings_of(submission)


def test_of_several_folders_the_one_with_work_is_graded_and_the_others_are_named(tmp_path):
    submission = read_path(
        write_folder(tmp_path, {f"a/{PATH}": STUB, f"b/c/{PATH}": ANSWER, f"d/e/f/{PATH}": OTHER_ANSWER})
    )
    assert submission.files == FILES
    assert (
        warnings_of(submission)
        == "several folders hold answers: b/c/part1_rlhf was graded, not a/part1_rlhf, d/e/f/part1_rlhf"
    )


def test_in_a_clone_of_the_course_the_solutions_are_not_graded(tmp_path):
    submission = read_path(write_folder(tmp_path, {f"notebooks/{PATH}": STUB, f"solutions/{PATH}": ANSWER}))
    assert submission.files == {}


def test_answers_beside_each_other_without_their_folder_are_found(tmp_path):
    submission = read_path(write_zip(tmp_path / "ada.zip", {FILE: ANSWER}))
    assert submission.files == FILES and "there is no part1_rlhf/" in warnings_of(submission)


@pytest.mark.parametrize(
    "program_folder", ["__MACOSX", ".ipynb_checkpoints", "part1_rlhf/.history", ".venv/lib", "__pycache__"]
)
def test_hidden_and_temporary_folders_of_programs_are_not_graded(tmp_path, program_folder):
    files = {
        PATH: ANSWER,
        f"{program_folder}/{PATH}": OTHER_ANSWER,
        f"{program_folder}/._{FILE}": b"\0",
        f"{program_folder}/05.ipynb": notebook_json(exercise_cell(OTHER_ANSWER)),
    }
    for path in (
        write_folder(tmp_path / "ada", files),
        write_zip(tmp_path / "ada.zip", files),
        write_tar(tmp_path / "ada.tar", files),
    ):
        submission = read_path(path)
        assert submission.files == FILES and not submission.warnings


def test_a_folder_that_holds_only_one_archive_is_read_as_that_archive(tmp_path):
    write_folder(tmp_path / "ada", {"notes.txt": "here it is"})
    write_zip(tmp_path / "ada" / "work.zip", FILES)
    assert read_path(tmp_path / "ada").files == FILES


# What cannot be read.


def assert_unreadable(path: Path, *words: str) -> None:
    """Assert that a submission holds no files and one warning with these words."""
    submission = read_path(path)
    assert not submission.files and len(submission.warnings) == 1
    for word in words:
        assert word in warnings_of(submission)


def test_an_archive_in_an_archive_is_refused(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", FILES).read_bytes()
    assert_unreadable(
        write_zip(tmp_path / "ada.zip", {"work/inner.zip": inner}), "an archive inside (work/inner.zip)", "unpack it"
    )
    assert_unreadable(write_tar(tmp_path / "ada.tar.gz", {"inner.zip": inner}), "an archive inside")
    assert_unreadable(write_folder(tmp_path / "two", {"a.7z": b"7z", "b.rar": b"Rar!"}), "an archive inside (a.7z)")


def test_an_archive_beside_the_work_is_not_opened_and_causes_a_warning(tmp_path):
    submission = read_path(write_zip(tmp_path / "ada.zip", {PATH: ANSWER, "more.7z": b"7z"}))
    assert submission.files == FILES and "more.7z is an archive inside" in warnings_of(submission)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("ada.zip", b"", "no folder, zip, tar or notebook"),
        ("ada.pdf", b"%PDF-1.7", "no folder, zip, tar or notebook"),
        ("ada.7z", b"7z\xbc\xaf\x27\x1c", "no folder, zip, tar or notebook"),
        ("ada.zip", b"PK\x03\x04 and then nothing", "is damaged"),
        ("ada.tar.gz", b"\x1f\x8b\x08 and then nothing", "is damaged"),
        ("ada.tar.bz2", b"BZh9 and then nothing", "cannot be read"),
        ("ada.ipynb", b"{", "cannot be read as a notebook"),
    ],
)
def test_a_file_that_is_no_submission_causes_a_warning_that_says_so(tmp_path, name, content, word):
    submission = read_path(write_folder(tmp_path, {name: content}) / name)
    assert not submission.files and word in warnings_of(submission)


def test_the_warning_for_a_folder_without_answers_says_what_is_missing(tmp_path):
    assert_unreadable(write_folder(tmp_path, {"essay.txt": "PPO"}), "no part1_rlhf/")


def test_reading_does_not_block_on_a_pipe(tmp_path):
    write_folder(tmp_path, {"part1_rlhf/get_logprobs.py": ANSWER})
    os.mkfifo(tmp_path / PATH)
    submission = read_path(tmp_path)
    assert PATH not in submission.files and "is no regular file" in warnings_of(submission)
    os.mkfifo(tmp_path / "ada.zip")
    assert_unreadable(tmp_path / "ada.zip", "no folder, archive, notebook")


# Hostile archives.


@pytest.mark.parametrize(
    "name", ["../" + PATH, "/" + PATH, "a/../../" + PATH, "..\\part1_rlhf\\" + FILE, "C:\\part1_rlhf\\" + FILE]
)
def test_paths_that_leave_the_archive_are_refused(tmp_path, name):
    (tmp_path / "box").mkdir()
    for path in (
        write_zip(tmp_path / "box/ada.zip", {name: ANSWER}),
        write_tar(tmp_path / "box/ada.tar", {name: ANSWER}),
    ):
        submission = read_path(path)
        assert not submission.files and "would lie outside of the archive" in warnings_of(submission)
    assert sorted(os.listdir(tmp_path)) == ["box"] and sorted(os.listdir(tmp_path / "box")) == ["ada.tar", "ada.zip"]


def test_backslashes_of_windows_part_folders(tmp_path):
    path = write_zip(tmp_path / "ada.zip", {"work/part1_rlhf/X": ANSWER})
    path.write_bytes(path.read_bytes().replace(b"work/part1_rlhf/X", b"w\\part1_rlhf\\a.py"))
    assert read_path(path).files == {"part1_rlhf/a.py": ANSWER}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_of_a_tar_are_not_read(tmp_path, kind):
    submission = read_path(
        write_tar(tmp_path / "ada.tar", {PATH: special_member(PATH, kind, "/etc/passwd"), "part1_rlhf/a.py": ANSWER})
    )
    assert submission.files == {"part1_rlhf/a.py": ANSWER} and PATH in warnings_of(submission)


def test_links_of_a_zip_are_not_followed(tmp_path):
    link = zipfile.ZipInfo(PATH)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    submission = read_path(tmp_path / "ada.zip")
    assert not submission.files and "is a link and was not followed" in warnings_of(submission)


def test_links_in_a_folder_are_not_followed(tmp_path):
    write_folder(
        tmp_path,
        {"secret/part1_rlhf/get_logprobs.py": ANSWER, "secret/key.py": "KEY = 1\n", "ada/part1_rlhf/a.py": ANSWER},
    )
    (tmp_path / "ada" / PATH).symlink_to(tmp_path / "secret" / "key.py")
    (tmp_path / "ada" / "more").symlink_to(tmp_path / "secret", target_is_directory=True)
    (tmp_path / "ada" / "round").symlink_to(tmp_path / "ada", target_is_directory=True)
    submission = read_path(tmp_path / "ada")
    assert submission.files == {"part1_rlhf/a.py": ANSWER}
    assert submission.warnings[0] == f"{PATH} is a link and was not followed"
    assert submission.unreadable == ("compute_advantages",)


def test_a_file_that_unpacks_to_far_more_than_its_size_is_not_read(tmp_path):
    submission = read_path(write_zip(tmp_path / "ada.zip", {"05.ipynb": b" " * 20_000_000, PATH: ANSWER}))
    assert submission.files == FILES and "unpacks to more than 200 times its size" in warnings_of(submission)


def test_a_zip_that_lies_about_a_files_size_is_read_no_further_than_the_cap(tmp_path, monkeypatch):
    monkeypatch.setitem(archives.MAX_FILE_BYTES, ".py", 1000)
    path = write_zip(tmp_path / "ada.zip", {PATH: "#" * 100_000})
    size, small = (100_000).to_bytes(4, "little"), (900).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, small))
    submission = read_path(path)
    assert not submission.files.get(PATH)


def test_a_tar_that_unpacks_to_more_than_the_cap_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 3_000_000)
    assert_unreadable(
        write_tar(tmp_path / "ada.tar.gz", {"weights.bin": bytes(9_000_000), PATH: ANSWER}), "unpacks to more than 3 MB"
    )


def test_a_sparse_file_larger_than_the_cap_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setitem(archives.MAX_FILE_BYTES, ".py", 1000)
    write_folder(tmp_path, {"part1_rlhf/a.py": ANSWER})
    with open(tmp_path / PATH, "wb") as file:
        file.truncate(10**12)
    submission = read_path(tmp_path)
    assert submission.files == {"part1_rlhf/a.py": ANSWER} and f"{PATH} is larger than" in warnings_of(submission)


def test_too_many_files_are_refused_in_a_folder_and_in_every_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILES", 30)
    many = {f"{number}.txt": "" for number in range(40)} | FILES
    for path in (
        write_folder(tmp_path / "ada", many),
        write_zip(tmp_path / "ada.zip", many),
        write_tar(tmp_path / "ada.tar", many),
    ):
        assert_unreadable(path, "more than 30 files")


def test_a_zip_with_a_huge_central_directory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "ada.zip", {f"{number}.txt": "" for number in range(200)})
    monkeypatch.setattr(archives, "MAX_ZIP_DIRECTORY_BYTES", 5_000)
    assert_unreadable(path, "lists too many files")
    path.write_bytes(path.read_bytes()[:-2] + b"\x05\x00about")  # with a comment at the end
    assert_unreadable(path, "lists too many files")


def test_the_total_size_of_a_submission_is_capped(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 2_000)
    assert_unreadable(
        write_folder(tmp_path, {f"part1_rlhf/{number}.py": "#" * 900 for number in range(5)}), "more than"
    )


def test_helper_files_that_are_too_large_or_have_unportable_names_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(parsing, "_MAX_HELPER_BYTES", 500)
    (tmp_path / "part1_rlhf").mkdir()
    (tmp_path / "part1_rlhf" / os.fsdecode(b"\xff.py")).write_text(ANSWER)
    submission = read_path(
        write_folder(
            tmp_path,
            {PATH: ANSWER, "part1_rlhf/a\\b.py": ANSWER, "part1_rlhf/big.py": "#" * 450, "part1_rlhf/ok.py": ANSWER},
        )
    )
    assert submission.files == {PATH: ANSWER, "part1_rlhf/ok.py": ANSWER} and len(submission.warnings) == 4


def test_folders_nested_deeper_than_the_cap_are_not_read(tmp_path):
    deep = tmp_path / "/".join("d" * 60)
    write_folder(deep, {"part1_rlhf/a.py": ANSWER})
    write_folder(tmp_path, FILES)
    submission = read_path(tmp_path)
    assert submission.files == FILES and "nested deeper" in warnings_of(submission)


def test_an_encrypted_file_causes_a_warning(tmp_path):
    path = write_zip(tmp_path / "ada.zip", {PATH: ANSWER})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    submission = read_path(path)
    assert not submission.files and "is encrypted" in warnings_of(submission)


# Encodings.


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"\xef\xbb\xbf" + ANSWER.encode(), ""),
        (ANSWER.replace("\n", "\r\n").encode(), ""),
        (ANSWER.replace("\n", "\r").encode(), ""),
        (b"\xff\xfe" + ANSWER.encode("utf-16-le"), "UTF-16"),
        (ANSWER.encode("utf-16-be"), "null bytes"),
    ],
    ids=["byte order mark", "Windows", "old Mac", "UTF-16", "UTF-16 without a mark"],
)
def test_text_is_read_with_the_encodings_and_line_ends_of_common_editors(tmp_path, content, word):
    submission = read_path(write_folder(tmp_path, {PATH: content}))
    assert word in warnings_of(submission) and bool(word) == bool(submission.warnings)
    if word != "null bytes":
        assert submission.files == FILES


def test_latin_1_is_read_with_a_warning(tmp_path):
    submission = read_path(write_folder(tmp_path, {PATH: "# é\n".encode("latin-1") + ANSWER.encode()}))
    assert submission.files[PATH] == "# é\n" + ANSWER and "read as latin-1" in warnings_of(submission)


def test_a_declared_encoding_is_used_and_the_declaration_becomes_utf_8(tmp_path):
    submission = read_path(write_folder(tmp_path, {PATH: "# -*- coding: cp1251 -*-\nx = 'да'\n".encode("cp1251")}))
    assert submission.files[PATH] == "# -*- coding: utf-8 -*-\nx = 'да'\n" and not submission.warnings


def test_lone_surrogates_of_a_notebook_are_replaced(tmp_path):
    path = write_folder(tmp_path, {"a.ipynb": notebook_json(exercise_cell(ANSWER + "x = '\ud800'\n"))}) / "a.ipynb"
    assert read_path(path).files[PATH].encode().startswith(ANSWER.encode())


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
    submission = read_path(write_folder(tmp_path, {PATH: ANSWER, "a.ipynb": text.encode("latin-1")}))
    assert submission.files == FILES


def test_a_notebook_of_an_old_format_is_read(tmp_path):
    old = {
        "worksheets": [{"cells": [{"cell_type": "code", "input": exercise_cell(ANSWER).splitlines(keepends=True)}]}],
        "nbformat": 3,
    }
    assert read_path(write_folder(tmp_path, {"a.ipynb": json.dumps(old)})).files == FILES


def test_a_cell_for_an_unknown_exercise_causes_a_warning(tmp_path):
    submission = read_path(
        write_folder(tmp_path, {PATH: ANSWER, "a.ipynb": notebook_json("%%exercise compute_advantage\nx = 1")})
    )
    assert "a cell for compute_advantage, which is no exercise" in warnings_of(submission)


anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=20) | st.just(exercise_cell(ANSWER)) | st.just("code"),
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
def test_no_notebook_raises_an_exception(tmp_path, content):
    path = write_folder(tmp_path, {"a.ipynb": json.dumps(content)}) / "a.ipynb"
    submission = read_path(path)
    assert set(submission.files) <= {PATH}


@quick
@given(st.binary(max_size=300), st.sampled_from(["a.zip", "a.tar.gz", "a.tar", "a.ipynb", PATH]), st.data())
def test_no_damaged_file_raises_an_exception(tmp_path, noise, name, data):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(PATH, ANSWER)
    intact = packed.getvalue()
    index = data.draw(st.integers(0, len(intact)))
    path.write_bytes(
        data.draw(
            st.sampled_from(
                [
                    noise,
                    intact[:index] + noise + intact[index:],
                    intact[:index],
                    b"\x1f\x8b" + noise,
                    b"PK\x03\x04" + noise,
                ]
            )
        )
    )
    submission = read_path(tmp_path if name == PATH else path)
    for text in (*submission.files.values(), *submission.warnings):
        text.encode("utf-8")


# Names.


def test_an_assignment_is_a_folder_of_each_submission_which_keeps_the_submissions_name(tmp_path):
    for folder in ("ada/week1", "ada/week2", "ben/week1"):
        (tmp_path / "submitted" / folder).mkdir(parents=True)
    submitted = [tmp_path / "submitted"]
    listed = {week: list_submissions(submitted, each=True, assignment=week) for week in ("week1", "week2")}
    assert {week: [path.name for path in paths] for week, paths in listed.items()} == {
        "week1": ["ada", "ben"],
        "week2": ["ada"],
    }
    assert listed["week2"][0].path == tmp_path / "submitted/ada/week2"
    with pytest.raises(CourseError, match="no submission holds a folder week3"):
        list_submissions(submitted, each=True, assignment="week3")
    with pytest.raises(CourseError, match="add --each"):
        list_submissions(submitted, each=False, assignment="week1")


def test_each_entry_of_a_folder_is_a_submission(tmp_path):
    write_folder(
        tmp_path,
        {f"cy/{PATH}": ANSWER, "bob.ipynb": notebook_json(exercise_cell(ANSWER)), "dee.pdf": b"%PDF", ".DS_Store": b""},
    )
    write_zip(tmp_path / "ada.zip", FILES)
    paths = list_submissions([tmp_path], each=True)
    assert [path.name for path in paths] == ["ada", "bob", "cy", "dee.pdf"]
    assert [bool(parse_submission(path).files) for path in paths] == [True, True, True, False]


def test_submissions_with_equal_names_get_different_names(tmp_path):
    write_folder(tmp_path, {f"ada/{PATH}": ANSWER, f"x/notebooks/{PATH}": ANSWER, f"y/notebooks/{PATH}": ANSWER})
    write_zip(tmp_path / "ada.zip", FILES)
    assert [path.name for path in list_submissions([tmp_path / "ada", tmp_path / "ada.zip"], False)] == [
        "ada",
        "ada.zip",
    ]
    names = [path.name for path in list_submissions([tmp_path / "x/notebooks", tmp_path / "y/notebooks"], False)]
    assert names == [str(tmp_path / "x/notebooks"), str(tmp_path / "y/notebooks")]
    assert [path.name for path in list_submissions([tmp_path / "ada"] * 3, False)][1:] == [
        f"{tmp_path / 'ada'} (2)",
        f"{tmp_path / 'ada'} (3)",
    ]


def test_a_name_holds_no_terminal_escapes_and_no_direction_marks(tmp_path):
    names = [b"a\x1b[31m", "a\u202eb".encode(), b"a\nb", b"\xff\xfe"]
    for name in names:
        os.mkdir(os.fsencode(tmp_path) + b"/" + name)
    for path in list_submissions([tmp_path], each=True):
        assert path.name.isprintable() and path.name.encode()


def test_a_path_without_a_submission_is_an_error(tmp_path):
    with pytest.raises(CourseError, match="does not exist"):
        list_submissions([tmp_path / "nobody"], False)
    with pytest.raises(CourseError, match="--each takes a folder"):
        list_submissions([write_folder(tmp_path, {"a.txt": ""}) / "a.txt"], True)
    with pytest.raises(CourseError, match="holds no submission"):
        list_submissions([write_folder(tmp_path / "empty", {".hidden": ""})], True)


def test_a_submission_that_vanishes_is_unreadable_with_a_warning(tmp_path):
    submission = parse_submission(SubmissionPath("ada", tmp_path / "gone"))
    assert not submission.files and "cannot be read: No such file" in warnings_of(submission)
