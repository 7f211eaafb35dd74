"""Self-check of `reward_fn_char_count`."""

from rlhf_course.checks.circumstances import variations
from rlhf_course.checks.core import Answer, Case, Check, observe_call

HINTS = (
    "The reward of a text depends on that text alone: how often does the character occur in it? Python's strings can "
    "count.",
    "The argument is a list of `batch` texts, the result a float tensor of shape [batch]: one number for each text, in "
    "order.",
    "Call each text's `.count` with `char`, collect the counts in a list, and make a float tensor of the list.",
)

_TEXTS = ["This is a test.", "", "...", "No dots here", "U.S. costs 3.50"]
_TEXTS_OF_ALL_KINDS = [
    "“U.S.” …",
    "“U.S.” …",
    "one line.\nand another.\n",
    " café. ",
    "<|endoftext|>" + "word. " * 50,
]
CASES = {
    "example": Case("['U.S....'], the text of the notebook's example", {"generated_sample": ["U.S...."]}),
    "periods": Case(f"{_TEXTS}", {"generated_sample": _TEXTS}),
    "another character": Case(
        "['This is a test.', 'Mississippi', 'SOS', ''], char='s'",
        {"generated_sample": ["This is a test.", "Mississippi", "SOS", ""], "char": "s"},
    ),
    "one text": Case("['Mr. A. N. Other']", {"generated_sample": ["Mr. A. N. Other"]}),
    "a run of 64": Case("['.' * 64, 'an end.']", {"generated_sample": ["." * 64, "an end."]}),
}
CASES |= {
    "all kinds": Case(
        "texts that are equal, long or of several lines, with special tokens and letters of any alphabet",
        {"generated_sample": _TEXTS_OF_ALL_KINDS},
    ),
    "a sign": Case(
        "['a|b||c', '<|endoftext|>', 'no'], char='|'",
        {"generated_sample": ["a|b||c", "<|endoftext|>", "no"], "char": "|"},
    ),
}
CHECK = Check("reward_fn_char_count", CASES, observe_call, variations=variations(CASES["another character"], char="i"))


def test_the_example_of_the_notebook_gives_its_numbers(reward_fn_char_count: Answer) -> None:
    CHECK.require(reward_fn_char_count, "example")


def test_periods_are_counted_in_each_text_as_floats(reward_fn_char_count: Answer) -> None:
    CHECK.require(reward_fn_char_count, "periods")


def test_another_character_is_counted_when_asked_for(reward_fn_char_count: Answer) -> None:
    CHECK.require(reward_fn_char_count, "another character")


def test_one_text_is_a_batch_too(reward_fn_char_count: Answer) -> None:
    CHECK.require(reward_fn_char_count, "one text")


def test_each_occurrence_counts(reward_fn_char_count: Answer) -> None:
    CHECK.require(reward_fn_char_count, "a run of 64")


def test_texts_of_all_kinds_are_counted_whole(reward_fn_char_count: Answer) -> None:
    CHECK.require(reward_fn_char_count, "all kinds")


def test_a_sign_is_no_pattern(reward_fn_char_count: Answer) -> None:
    CHECK.require(reward_fn_char_count, "a sign")
