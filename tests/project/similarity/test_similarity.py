"""The similarity report: which answers count as near-copies, and its pages."""

import random

import pytest

from rlhf_course.bank import bank_file
from rlhf_course.course import ALL_PARTS, BY_NAME, DEFAULT_PART, EXERCISES, PARTS
from rlhf_course.errors import CourseError
from rlhf_course.grading.submissions.limited_process import LimitedProcess
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY
from rlhf_course.similarity.commands import similarity
from rlhf_course.similarity.limited_normalizer import LIMITS, LimitedNormalizer
from rlhf_course.similarity.normalize import normalized_lines
from rlhf_course.similarity.pages import write_report
from rlhf_course.similarity.pairs import similar_pairs
from rlhf_course.stubs import stub_of

LOOP_ANSWER = '''"""What each action was worth."""

import torch
from torch import Tensor


def compute_advantages(values, rewards, prefix_len):
    # One row after the other, because I like loops.
    rows = []
    last = values.shape[1] - 1
    for number in range(values.shape[0]):
        row = []
        for position in range(prefix_len - 1, last):
            if position + 1 == last:
                target = rewards[number].item()
            else:
                target = values[number, position + 1].item()
            row.append(target - values[number, position].item())
        rows.append(torch.tensor(row))
    return torch.stack(rows)
'''
RENAMED_COPY = """import torch as t


def compute_advantages(values: t.Tensor,
                       rewards: t.Tensor, prefix_len: int) -> t.Tensor:
    '''My own words.'''
    out: list = []
    end = values.shape[1] - 1
    for i in range(values.shape[0]):
        line = []   # one line
        for j in range(prefix_len - 1,
                       end):
            if (j + 1 == end):
                q = rewards[i].item()
            else:
                q = values[i, j + 1].item()
            line.append(q - values[i, j].item())
        out.append(t.tensor(line))
    return t.stack(out)
"""
MASK_ANSWER = """import torch


def compute_advantages(values, rewards, prefix_len):
    future = torch.zeros_like(values)
    future[:, :-1] = values[:, 1:]
    future[:, -2] = rewards
    mask = torch.arange(values.size(1)).ge(prefix_len - 1) & torch.arange(values.size(1)).lt(values.size(1) - 1)
    difference = future.sub(values).detach()
    return difference.masked_select(mask.unsqueeze(0)).view(values.size(0), -1)
"""


def submission(name: str, text: str, exercise: str = "compute_advantages") -> Submission:
    return Submission(name, {BY_NAME[exercise].path: text})


def pair_names(pairs) -> list[tuple[str, str]]:
    return [(pair.left, pair.right) for pair in pairs]


def test_a_copy_with_other_names_layout_comments_annotations_and_imports_is_found():
    pairs = similar_pairs(
        [submission("ada", LOOP_ANSWER), submission("cy", MASK_ANSWER), submission("ben", RENAMED_COPY)]
    )
    assert pair_names(pairs) == [("ada", "ben")]
    assert pairs[0].matches[0].exercise == "compute_advantages" and pairs[0].matches[0].similarity > 0.95


def test_a_copy_with_a_statement_added_is_still_found():
    more = RENAMED_COPY.replace(
        "    return t.stack(out)", "    assert len(out) == len(rewards)\n    return t.stack(out)"
    )
    assert pair_names(similar_pairs([submission("ada", LOOP_ANSWER), submission("ben", more)])) == [("ada", "ben")]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_answers_written_as_the_reference_or_a_known_right_answer_make_no_pair(exercise):
    texts = [(REPOSITORY / "solutions" / exercise.path).read_text(), bank_file(REPOSITORY, exercise).read_text()]
    submissions = [
        Submission(f"{number}-{copy}", {exercise.path: text}) for number, text in enumerate(texts) for copy in range(2)
    ]
    assert not similar_pairs(submissions)


def test_untouched_stubs_and_empty_submissions_make_no_pair():
    stub = stub_of(BY_NAME["RLHFTrainer"])
    assert not similar_pairs(
        [
            submission("ada", stub, "RLHFTrainer"),
            submission("ben", stub, "RLHFTrainer"),
            Submission("cy", {}),
            Submission("di", {}),
        ]
    )


def test_statements_of_a_whole_class_make_no_pair_but_two_copies_in_it_do():
    text = "def get_logprobs(logits, tokens, prefix_len=None):\n    first = 1 if prefix_len is None else prefix_len\n"
    text += "    table = logits.double().log_softmax(2).float()\n"
    text += "    return table[:, first - 1 : -1].gather(2, tokens[:, first:, None]).flatten(1, 2)\n"
    group = [submission(f"learner {number}", text, "get_logprobs") for number in range(40)]
    assert not similar_pairs(group)
    pairs = similar_pairs([*group, submission("ada", LOOP_ANSWER), submission("ben", RENAMED_COPY)])
    assert pair_names(pairs) == [("ada", "ben")]


def test_texts_that_cannot_be_parsed_are_compared_line_by_line():
    broken = LOOP_ANSWER.replace("rows = []", "rows = [")
    assert pair_names(
        similar_pairs([submission("ada", broken), submission("ben", broken.replace("    # One row", "    # Each row"))])
    ) == [("ada", "ben")]


def test_a_line_separator_that_python_does_not_know_hides_no_comment_of_a_broken_text():
    text = "# \x0c\u2028one\nfirst = [1, 2]  # a remark\nsecond = (3\n"
    assert normalized_lines(text) == normalized_lines(text.replace("\x0c\u2028", "").replace("a remark", "another"))


@pytest.mark.parametrize("text", ["(" * 5000, "\0", "x = " + "1 + " * 30_000 + "1", "def f(:\n", "'''", "\ud800"])
def test_a_text_that_breaks_the_parser_breaks_no_report(text):
    assert isinstance(normalized_lines(text), list)
    similar_pairs([submission("ada", text), submission("ben", text)])


def test_a_page_shows_both_texts_side_by_side_and_escapes_them(tmp_path):
    evil = LOOP_ANSWER.replace("because I like loops", "<script>alert(1)</script>")
    pairs = similar_pairs([submission("<b>ada</b>", evil), submission("ben", RENAMED_COPY)])
    index = write_report(tmp_path, pairs, 2).read_text()
    page = (tmp_path / "pair-001.html").read_text()
    assert "&lt;b&gt;ada" in index and "hint to look" in index and 'href="pair-001.html"' in index
    assert "<script>" not in page + index
    assert "&lt;script&gt;" in page and "line.append(q - values[i, j].item())" in page


def test_two_copies_are_found_among_hundreds_of_unlike_answers():
    rng = random.Random(0)
    statement = "    x{} = values[{}] {} rewards[{}]"
    submissions = []
    for number in range(600):
        lines = [
            statement.format(rng.randrange(9), rng.randrange(99), rng.choice("+-*/"), rng.randrange(99))
            for _ in range(12)
        ]
        submissions.append(
            submission(str(number), "def compute_advantages(values, rewards, prefix_len):\n" + "\n".join(lines))
        )
    pairs = similar_pairs(
        [submissions[0], submission("ada", LOOP_ANSWER), *submissions[1:], submission("ben", RENAMED_COPY)]
    )
    assert pair_names(pairs)[0] == ("ada", "ben")


@pytest.fixture
def class_folder(tmp_path):
    """A folder of two submissions, of which one is a copy of the other."""
    for learner, text in (("ada", LOOP_ANSWER), ("ben", RENAMED_COPY)):
        path = tmp_path / "class" / learner / BY_NAME["compute_advantages"].path
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path / "class"


@pytest.mark.parametrize("part", [None, [DEFAULT_PART.name], [ALL_PARTS]])
def test_the_command_compares_the_answers_of_the_named_parts(part, class_folder, tmp_path, capsys):
    similarity([class_folder], tmp_path / "report", part)
    assert "ada and ben: compute_advantages" in capsys.readouterr().out
    assert (tmp_path / "report" / "pair-001.html").is_file()


def test_only_the_given_exercises_are_compared():
    submissions = [submission("ada", LOOP_ANSWER), submission("ben", RENAMED_COPY)]
    assert similar_pairs(submissions, [BY_NAME["compute_advantages"]])
    assert not similar_pairs(submissions, [BY_NAME["get_logprobs"]])


def test_an_unknown_part_is_answered_with_the_list_of_parts(class_folder, tmp_path):
    with pytest.raises(CourseError) as error:
        similarity([class_folder], tmp_path / "report", ["part9_unknown"])
    assert all(name in str(error.value) for name in [*(part.name for part in PARTS), ALL_PARTS, "part9_unknown"])


# Hostile texts.

HOSTILE = {
    "signs": "x = " + "-" * 90_000 + "1\n",
    "sums": "x = 1" + "+1" * 400_000 + "\n",
    "short sums": "x = 1" + "+1" * 45_000 + "\n",
    "brackets": "x = " + "(" * 50_000 + ")" * 50_000 + "\n",
    "attributes": "x" + ".x" * 49_000 + "\n",
    "long import paths": f"from {'a' * 40_000} import b as c\n" + "c\n" * 25_000,
    "lambdas": "x = " + "lambda: " * 12_000 + "0\n",
    "indentation": "".join(" " * depth + "if 1:\n" for depth in range(90)) + " " * 90 + "pass\n",
    "names": "".join(f"x{number} = {number}\n" for number in range(8_000)),
    "strings": "x = " + "f'{" * 20_000,
    "surrogate": "x = '\ud800'\n",
    "null": "x = 1\0\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_text_is_parsed_within_limits_and_the_others_are_compared(kind):
    copy = RENAMED_COPY
    submissions = [submission("ada", LOOP_ANSWER), submission("eve", HOSTILE[kind]), submission("bob", copy)]
    with LimitedProcess(LIMITS) as process:
        normalizer = LimitedNormalizer(process)
        pairs = similar_pairs(submissions, normalize=normalizer)
    assert ("ada", "bob") in pair_names(pairs)
    if kind not in ("indentation", "surrogate", "null"):
        (warning,) = normalizer.warnings
        assert warning.startswith("eve: part1_rlhf/compute_advantages.py ") and "it was not compared" in warning


def test_the_limited_normalizer_gives_what_normalizing_here_gives():
    learner = submission("ada", LOOP_ANSWER)
    with LimitedProcess(LIMITS) as process:
        normalizer = LimitedNormalizer(process)
        for exercise in EXERCISES:
            assert normalizer(learner, exercise) == (
                normalized_lines(learner.files[exercise.path], exercise.name) if exercise.path in learner.files else []
            )
    assert not normalizer.warnings


def test_an_untouched_release_is_compared_without_a_warning(tmp_path, capsys):
    exercise = EXERCISES[0]
    folder = tmp_path / "class" / "ben" / exercise.part
    folder.mkdir(parents=True)
    (folder / exercise.file).write_text(stub_of(exercise))
    similarity([tmp_path / "class"], tmp_path / "report")
    printed = capsys.readouterr().out
    assert "0 pairs among 1 submissions" in printed and "warning" not in printed


def test_the_command_names_submissions_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "class" / "eve").mkdir(parents=True)
    (tmp_path / "class" / "eve" / "work.zip").write_bytes(b"PK\x03\x04")
    similarity([tmp_path / "class"], tmp_path / "report")
    assert "warning: eve: the submission is damaged" in capsys.readouterr().out
