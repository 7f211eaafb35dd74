"""An honest hand-in under an unusual name is found, and one that is not found is named."""

import json
import tarfile

import pytest
from submission_files import (
    ANSWER,
    OTHER_ANSWER,
    PATH,
    STUB,
    exercise_cell,
    notebook_json,
    read_path,
    warnings_of,
    write_folder,
    write_zip,
)

from rlhf_course.course import BY_NAME, DEFAULT_PART
from rlhf_course.grading.submissions.copied_names import answered_file, copy_number
from rlhf_course.grading.submissions.parse_submission import list_submissions
from rlhf_course.stubs import stub_of

FILES = {PATH: ANSWER}
EXPORT_NAMES = ["05_advantages_and_memory.py", "Copy of 05.py", "work/homework.py", "part1_rlhf/05.py"]

# Copies.

COPIES = [
    "compute_advantages (1).py",
    "compute_advantages(2).py",
    "compute_advantages copy.py",
    "compute_advantages copy 2.py",
    "compute_advantages - Copy.py",
    "compute_advantages - Copy (3).py",
    "compute_advantages_copy.py",
    "Copy of compute_advantages.py",
    "Copy (2) of compute_advantages.py",
    "copy_of_compute_advantages.py",
    "compute_advantages-1.py",
    "compute_advantages.PY",
    "Compute_Advantages.py",
]


@pytest.mark.parametrize("folder", ["part1_rlhf/", "", "work/part1_rlhf/"])
@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_taken_for_the_exercise_with_one_warning(tmp_path, folder, name):
    for path in (
        write_folder(tmp_path / "ada", {folder + name: ANSWER}),
        write_zip(tmp_path / "a.zip", {name: ANSWER}),
    ):
        submission = read_path(path)
        assert submission.files == FILES
        assert f"compute_advantages: {name} was taken for compute_advantages.py, there is no such file" in warnings_of(
            submission
        )
        assert len(submission.warnings) == 1 + ("there is no part1_rlhf/" in warnings_of(submission))


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_never_taken_over_the_file_itself(tmp_path, name):
    submission = read_path(write_folder(tmp_path, {PATH: ANSWER, f"part1_rlhf/{name}": OTHER_ANSWER}))
    assert submission.files == FILES
    assert warnings_of(submission) == f"compute_advantages: {name} was not read, since there is compute_advantages.py"


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_taken_over_the_untouched_stub_of_the_file(tmp_path, name):
    submission = read_path(write_folder(tmp_path, {PATH: STUB, f"part1_rlhf/{name}": ANSWER}))
    assert submission.files == FILES and "which is the untouched stub" in warnings_of(submission)


@pytest.mark.parametrize("text", [ANSWER, STUB, ANSWER.replace("\n", " \r\n")], ids=["same", "stub", "Windows"])
def test_a_copy_without_work_of_its_own_causes_no_warning(tmp_path, text):
    submission = read_path(write_folder(tmp_path, {PATH: ANSWER, "part1_rlhf/compute_advantages (1).py": text}))
    assert submission.files == FILES and not submission.warnings


def test_of_several_copies_the_newest_is_taken_and_the_others_are_named(tmp_path):
    names = {f"part1_rlhf/compute_advantages ({number}).py": f"{ANSWER}# {number}\n" for number in (2, 10, 9)}
    submission = read_path(write_folder(tmp_path, names))
    assert submission.files == {PATH: f"{ANSWER}# 10\n"} and len(submission.warnings) == 1
    assert "(10).py was taken" in warnings_of(submission) and "(2).py, compute_advantages (9).py" in warnings_of(
        submission
    )


@pytest.mark.parametrize(
    "name",
    [
        "compute_advantages2.py",
        "my_compute_advantages.py",
        "compute_advantages (1) (1).txt",
        "(1).py",
        "copy.py",
        "",
        "compute_advantages" + " (1)" * 60 + ".py",
        "Copy of .py",
        "compute-advantages.py",
        "compute_advantages (x).py",
    ],
)
def test_other_names_are_no_copies(name):
    assert (answered_file(name) is None and copy_number(name) == 0) or answered_file(name) != "compute_advantages.py"


# Files that answer nothing.


@pytest.mark.parametrize(
    "name", ["advantages.py", "solution.py", "computeAdvantages.py", "tools/x.py", "compute_advantages2.py", "A.PY"]
)
def test_every_file_that_answers_nothing_is_named_if_an_exercise_is_missing(tmp_path, name):
    submission = read_path(write_folder(tmp_path, {f"part1_rlhf/{name}": ANSWER, "part1_rlhf/__init__.py": ""}))
    (warning,) = submission.warnings
    assert warning.startswith(f"part1_rlhf/ holds {name}, named like no exercise, and there is no answer to ")
    assert "compute_advantages" in warning


def test_a_helper_file_causes_no_warning_if_no_exercise_is_missing(tmp_path):
    files = {exercise.path: f"{exercise.name} = 1\n" for exercise in DEFAULT_PART.exercises}
    submission = read_path(write_folder(tmp_path, {**files, "part1_rlhf/tools.py": "x = 1\n"}))
    assert set(submission.files) == {*files, "part1_rlhf/tools.py"} and not submission.warnings


def test_many_files_that_answer_nothing_are_named_in_one_warning(tmp_path):
    submission = read_path(write_folder(tmp_path, {f"part1_rlhf/f{number:02}.py": "x = 1\n" for number in range(30)}))
    (warning,) = submission.warnings
    assert "f00.py, f01.py" in warning and "20 more" in warning


# Notebooks.


@pytest.mark.parametrize(
    "above",
    [
        "# @title Advantages\n",
        "#@title\n",
        "\n# @title Two\n\n# lines\n",
        "# @title x {display-mode: 'form'}\r\n",
        "#\n",
    ],
)
def test_comments_above_the_magic_are_read(tmp_path, above):
    path = write_folder(tmp_path, {"a.ipynb": notebook_json(above + exercise_cell(ANSWER))}) / "a.ipynb"
    submission = read_path(path)
    assert submission.files == FILES and not submission.warnings


def test_a_notebook_with_capital_letters_in_its_suffix_is_read(tmp_path):
    write_folder(tmp_path, {"A.IPYNB": notebook_json(exercise_cell(ANSWER))})
    assert read_path(tmp_path).files == FILES and read_path(tmp_path / "A.IPYNB").files == FILES


COLAB = f'''# -*- coding: utf-8 -*-
"""05_advantages.ipynb

# Advantages
"""

import torch

%%exercise compute_advantages
{ANSWER}
"""## Check it

The function gets `values`.
"""

check(compute_advantages)

%%exercise normalize_reward
{stub_of(BY_NAME["normalize_reward"])}
'''
JUPYTEXT = f"# %% [markdown]\n# # Title\n\n# %%\n# %%exercise compute_advantages\n{ANSWER}\n# %%\ncheck(x)\n"
NBCONVERT = (
    "#!/usr/bin/env python\n# In[3]:\n\n\nget_ipython().run_cell_magic('exercise', 'compute_advantages', "
    f"{ANSWER!r})\n\n\n# In[4]:\n\n\ncheck(compute_advantages)\n"
)
PLAIN = f"%%exercise compute_advantages\n{ANSWER}"
LIGHT = f"import torch\n\n# +\n# %%exercise compute_advantages\n{ANSWER}# -\n\n# +\nx = 1\n"
TITLED = f"# @title Advantages\n%%exercise compute_advantages  # now\n{ANSWER}\n%matplotlib inline\nx = 1\n"
EXPORTS = {
    "Colab": COLAB,
    "jupytext": JUPYTEXT,
    "nbconvert": NBCONVERT,
    "plain": PLAIN,
    "light": LIGHT,
    "title": TITLED,
}


@pytest.mark.parametrize("name", EXPORT_NAMES)
@pytest.mark.parametrize("kind", EXPORTS)
def test_a_notebook_exported_as_python_is_read(tmp_path, kind, name):
    submission = read_path(write_folder(tmp_path, {name: EXPORTS[kind]}))
    text = submission.files[PATH].removesuffix("# -\n").rstrip() + "\n"
    assert set(submission.files) == {PATH} and text == ANSWER and not submission.warnings


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_exported_notebook_can_be_handed_in_alone(tmp_path, kind):
    path = write_folder(tmp_path, {"ada.py": EXPORTS[kind].replace("\n", "\r\n")}) / "ada.py"
    assert set(read_path(path).files) == {PATH}
    assert [submission.name for submission in list_submissions([path], each=False)] == ["ada"]


def test_an_answer_that_keeps_the_magic_of_its_cell_is_read(tmp_path):
    submission = read_path(write_folder(tmp_path, {PATH: PLAIN}))
    assert submission.files == FILES


@pytest.mark.parametrize("text", ["get_ipython().run_cell_magic('exercise', f(), 3)\n", PLAIN.replace("advan", "x")])
def test_an_export_that_answers_nothing_causes_one_warning(tmp_path, text):
    submission = read_path(write_folder(tmp_path, {"05.py": text}))
    assert not submission.files and len(submission.warnings) == 1


@pytest.mark.parametrize("folder", ["solutions", "tests", "utils/rlhf_course"])
def test_files_of_the_course_itself_are_no_exports(tmp_path, folder):
    submission = read_path(write_folder(tmp_path, {PATH: ANSWER, f"{folder}/05.py": COLAB.replace("values", "other")}))
    assert submission.files == FILES and not submission.warnings


# Archives in a folder, and files beside the submissions.


def test_several_archives_in_a_folder_are_read_together(tmp_path):
    write_zip(tmp_path / "part1.zip", FILES)
    write_zip(tmp_path / "notebooks.zip", {"07.ipynb": notebook_json(exercise_cell("x = 1\n", "get_logprobs"))})
    with tarfile.open(tmp_path / "more.tar.xz", "w:xz"):
        pass
    submission = read_path(tmp_path)
    assert submission.files == {PATH: ANSWER, "part1_rlhf/get_logprobs.py": "x = 1\n"} and not submission.warnings


def test_two_archives_with_the_same_answers_are_named(tmp_path):
    write_zip(tmp_path / "a.zip", FILES), write_zip(tmp_path / "b.zip", {PATH: OTHER_ANSWER})
    submission = read_path(tmp_path)
    assert submission.files == FILES
    assert warnings_of(submission) == "several folders hold answers: a.zip/part1_rlhf was graded, not b.zip/part1_rlhf"


def test_a_damaged_archive_among_several_causes_one_warning(tmp_path):
    write_zip(tmp_path / "a.zip", FILES)
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04")
    submission = read_path(tmp_path)
    assert submission.files == FILES and len(submission.warnings) == 1 and "b.zip is damaged" in submission.warnings[0]
    assert "get_logprobs" in submission.unreadable and "compute_advantages" not in submission.unreadable


def test_an_archive_in_one_of_several_archives_is_not_opened(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", FILES).read_bytes()
    (tmp_path / "inner.zip").unlink()
    write_zip(tmp_path / "a.zip", {"inner.zip": inner}), write_zip(tmp_path / "b.zip", {"essay.txt": "PPO"})
    submission = read_path(tmp_path)
    assert not submission.files and "an archive inside (a.zip/inner.zip)" in warnings_of(submission)


def test_more_archives_than_one_learner_hands_in_are_refused(tmp_path):
    for number in range(11):
        write_zip(tmp_path / f"{number}.zip", FILES)
    assert "holds 11 archives" in warnings_of(read_path(tmp_path))


@pytest.mark.parametrize("name", ["submission_metadata.json", "submission_metadata.yml", "desktop.ini"])
def test_files_that_platforms_put_beside_submissions_are_no_learners(tmp_path, name):
    write_folder(tmp_path, {f"submission_1/{PATH}": ANSWER, name: json.dumps({"a": 1})})
    assert [submission.name for submission in list_submissions([tmp_path], each=True)] == ["submission_1"]
