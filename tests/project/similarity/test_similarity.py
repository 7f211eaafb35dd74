"""Near-copies: what is found, and what is not."""

import random

import pytest

from rlhf_course.building.bank import bank_file
from rlhf_course.course import EXERCISES
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import REPOSITORY
from rlhf_course.similarity.normal import normal_lines
from rlhf_course.similarity.pages import write_report
from rlhf_course.similarity.pairs import similar_pairs

ROUNDABOUT = '''"""What each action was worth."""

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
DISGUISED = """import torch as t


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
ANOTHER_WAY = """import torch


def compute_advantages(values, rewards, prefix_len):
    future = torch.zeros_like(values)
    future[:, :-1] = values[:, 1:]
    future[:, -2] = rewards
    mask = torch.arange(values.size(1)).ge(prefix_len - 1) & torch.arange(values.size(1)).lt(values.size(1) - 1)
    difference = future.sub(values).detach()
    return difference.masked_select(mask.unsqueeze(0)).view(values.size(0), -1)
"""


def handed_in(name: str, text: str, file: str = "compute_advantages.py") -> Submission:
    return Submission(name, {f"part1_rlhf/{file}": text})


def names(pairs) -> list[tuple[str, str]]:
    return [(pair.left, pair.right) for pair in pairs]


def test_a_copy_with_other_names_layout_comments_annotations_and_imports_is_found():
    pairs = similar_pairs([handed_in("ada", ROUNDABOUT), handed_in("cy", ANOTHER_WAY), handed_in("ben", DISGUISED)])
    assert names(pairs) == [("ada", "ben")]
    assert pairs[0].matches[0].exercise == "compute_advantages" and pairs[0].matches[0].alike > 0.95


def test_a_copy_with_a_statement_added_is_still_found():
    more = DISGUISED.replace("    return t.stack(out)", "    assert len(out) == len(rewards)\n    return t.stack(out)")
    assert names(similar_pairs([handed_in("ada", ROUNDABOUT), handed_in("ben", more)])) == [("ada", "ben")]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_answers_written_as_the_reference_or_a_known_right_answer_make_no_pair(exercise):
    texts = [(REPOSITORY / "solutions" / exercise.path).read_text(), bank_file(REPOSITORY, exercise).read_text()]
    submissions = [
        Submission(f"{number}-{copy}", {exercise.path: text}) for number, text in enumerate(texts) for copy in range(2)
    ]
    assert not similar_pairs(submissions)


def test_untouched_stubs_and_empty_submissions_make_no_pair():
    stub = (REPOSITORY / "notebooks/part1_rlhf/trainer.py").read_text()
    assert not similar_pairs(
        [
            handed_in("ada", stub, "trainer.py"),
            handed_in("ben", stub, "trainer.py"),
            Submission("cy", {}),
            Submission("di", {}),
        ]
    )


def test_what_a_whole_class_writes_makes_no_pair_and_two_copies_in_it_do():
    text = "def get_logprobs(logits, tokens, prefix_len=None):\n    first = 1 if prefix_len is None else prefix_len\n"
    text += "    table = logits.double().log_softmax(2).float()\n    return table[:, first - 1 : -1].gather(2, tokens[:, first:, None]).flatten(1, 2)\n"
    group = [handed_in(f"learner {number}", text, "get_logprobs.py") for number in range(40)]
    assert not similar_pairs(group)
    pairs = similar_pairs([*group, handed_in("ada", ROUNDABOUT), handed_in("ben", DISGUISED)])
    assert names(pairs) == [("ada", "ben")]


def test_texts_that_are_no_python_are_compared_line_by_line():
    broken = ROUNDABOUT.replace("rows = []", "rows = [")
    assert names(
        similar_pairs([handed_in("ada", broken), handed_in("ben", broken.replace("    # One row", "    # Each row"))])
    ) == [("ada", "ben")]


@pytest.mark.parametrize("text", ["(" * 5000, "\0", "x = " + "1 + " * 30_000 + "1", "def f(:\n", "'''", "\ud800"])
def test_a_text_that_breaks_the_parser_breaks_no_report(text):
    assert isinstance(normal_lines(text), list)
    similar_pairs([handed_in("ada", text), handed_in("ben", text)])


def test_both_texts_stand_side_by_side_and_are_only_text(tmp_path):
    evil = ROUNDABOUT.replace("because I like loops", "<script>alert(1)</script>")
    pairs = similar_pairs([handed_in("<b>ada</b>", evil), handed_in("ben", DISGUISED)])
    index = write_report(tmp_path, pairs, 2).read_text()
    page = (tmp_path / "pair-001.html").read_text()
    assert "&lt;b&gt;ada" in index and "hint to look" in index and 'href="pair-001.html"' in index
    assert "<script>" not in page + index
    assert "&lt;script&gt;" in page and "line.append(q - values[i, j].item())" in page


def test_two_copies_are_found_among_hundreds_of_unlike_answers():
    chance = random.Random(0)
    statement = "    x{} = values[{}] {} rewards[{}]"
    many = []
    for number in range(600):
        lines = [
            statement.format(chance.randrange(9), chance.randrange(99), chance.choice("+-*/"), chance.randrange(99))
            for _ in range(12)
        ]
        many.append(handed_in(str(number), "def compute_advantages(values, rewards, prefix_len):\n" + "\n".join(lines)))
    pairs = similar_pairs([many[0], handed_in("ada", ROUNDABOUT), *many[1:], handed_in("ben", DISGUISED)])
    assert names(pairs)[0] == ("ada", "ben")
