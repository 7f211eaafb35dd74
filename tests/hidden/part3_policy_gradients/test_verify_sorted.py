"""Hidden tests of `verify_sorted`. Wrong completions are made from right ones by drawn edits."""

import pytest
import torch

from rlhf_course.grading.judge.compare import expect_calls_leave_torch_alone, expect_value_error, expect_values, mend
from rlhf_course.grading.judge.texts import END_OF_TEXT
from rlhf_course.grading.sandbox.serialization import known_class_name

WHY = "it is 1 for the prompt's digits in ascending order and the end-of-text token, and 0 for all else"
DIGITS = "0123456789"
# Digits of other alphabets, the first of which is 0: full-width, Arabic, Persian, Devanagari and mathematical ones.
ALPHABETS = tuple("".join(chr(ord(zero) + number) for number in range(10)) for zero in "０٠۰०𝟎")
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
INVISIBLE = ("\u200b", "\u00ad", "\ufeff", "\x00", "\u2060")
SPECIAL_TOKENS = ("<unk>", "<pad>", "<s>", "</s>", "[SEP]", "[MASK]")
OTHER_ENDS = ("</s>", "<|im_end|>", "[SEP]", "<eos>", "<|EndOfText|>", "<|ENDOFTEXT|>", "<endoftext>", "endoftext")


def any_digits(draw, low, high):
    """Draw a text of so many digits."""
    return "".join(draw.choice(DIGITS) for _ in range(draw.integer(low, high)))


def mixed_digits(draw, low=6, high=18):
    """Draw digits that are not in order, with a zero and a digit that occurs several times among them."""
    first, second, third = draw.sample(DIGITS[1:], 3)
    digits = draw.shuffled(["0", "0", first, first, second, third, *any_digits(draw, low - 6, high - 6)])
    return "".join(digits if digits != sorted(digits) else reversed(digits))


def ascending(digits):
    """Return digits in ascending order, by counting them."""
    return "".join(digit * digits.count(digit) for digit in DIGITS)


def expect_reward(verify_sorted, digits, completion, wanted, description):
    """Require the right reward of a completion."""
    got = verify_sorted(f"{digits}=", completion)
    mended = mend(got, torch.Size([]))
    is_opposite = mended is not None and mended.dim() == 0 and float(mended) == 1 - wanted
    subject = f"The reward of {description}"
    assert not is_opposite, f"{subject} is {1 - wanted:.0f}, and should be {wanted:.0f}: {WHY}"
    expect_values(got, torch.tensor(float(wanted)), subject, WHY)


def expect_right(verify_sorted, digits, description="a right completion"):
    """Require the reward 1 of the right completion."""
    expect_reward(verify_sorted, digits, ascending(digits) + END_OF_TEXT, 1, description)


def expect_wrong(verify_sorted, draw, edits, each=1, high=18):
    """Require the reward 0 of completions that are made by edits, and 1 of right ones between them.

    Args:
        verify_sorted: The answer.
        draw: The test's source of random values.
        edits: Functions that return a completion of drawn digits, by what is particular about it.
        each: How many completions to make by each edit.
        high: The largest number of digits of a wrong completion's prompt; right ones are made of 18 at most.
    """
    found = [(description, edit) for description, alike in edits.items() for edit in alike] * each
    for number, (description, edit) in enumerate(draw.shuffled(found)):
        digits = mixed_digits(draw, high=high if number else 18)
        completion = edit(draw, digits)
        if number % 4 == 0 and len(digits) <= 18:
            expect_right(verify_sorted, digits)
        if completion != right(digits):
            expect_reward(verify_sorted, digits, completion, 0, f"a completion {description}")


def right(digits):
    """Return the right completion."""
    return ascending(digits) + END_OF_TEXT


def inserted(draw, text, piece, low=0, high=None):
    """Return a text with a piece at a random place."""
    place = draw.integer(low, len(text) if high is None else high)
    return text[:place] + piece + text[place:]


# Edits that put a piece somewhere into the right completion.


def in_front(*pieces):
    return [lambda draw, digits, piece=piece: piece + right(digits) for piece in pieces]


def behind_the_end(*pieces):
    return [lambda draw, digits, piece=piece: right(digits) + piece for piece in pieces]


def behind_the_digits(*pieces):
    return [lambda draw, digits, piece=piece: ascending(digits) + piece + END_OF_TEXT for piece in pieces]


def between_two_digits(*pieces):
    return [
        lambda draw, digits, piece=piece: inserted(draw, ascending(digits), piece, 1, len(digits) - 1) + END_OF_TEXT
        for piece in pieces
    ]


def between_all_digits(*pieces):
    return [lambda draw, digits, piece=piece: piece.join(ascending(digits)) + END_OF_TEXT for piece in pieces]


@pytest.mark.points(1)
def test_the_prompts_digits_in_ascending_order_and_the_end_get_1(verify_sorted, draw):
    kinds = {
        "a right completion": [any_digits(draw, 2, 9) for _ in range(6)] + [mixed_digits(draw) for _ in range(4)],
        "a right completion of one digit": draw.sample(DIGITS, 3),
        "a right completion of many digits": [any_digits(draw, 22, 30) for _ in range(4)] + [any_digits(draw, 30, 30)],
        "a right completion of a prompt in ascending order": [ascending(any_digits(draw, 3, 15)) for _ in range(2)],
        "a right completion of a prompt in descending order": [
            ascending(any_digits(draw, 3, 15))[::-1] for _ in range(2)
        ],
        "a right completion of equal digits": [draw.choice(DIGITS) * draw.integer(2, 20), "0" * draw.integer(2, 9)],
    }
    for description, found in draw.shuffled(list(kinds.items())):
        for digits in found:
            expect_right(verify_sorted, digits, description)
    digits = mixed_digits(draw)
    expect_reward(verify_sorted, digits, END_OF_TEXT + ascending(digits), 0, "a completion that ends before its digits")


def with_other_digits(draw, digits):
    """Draw other digits in ascending order, as many as the prompt's."""
    return ascending(any_digits(draw, len(digits), len(digits)))


def with_one_changed(draw, digits):
    """Return the right digits, of which one is replaced by another."""
    index = draw.integer(0, len(digits) - 1)
    others = DIGITS.replace(digits[index], "")
    return ascending(digits[:index] + draw.choice(others) + digits[index + 1 :])


def with_the_same_sum(draw, digits):
    """Return ascending digits of the same number and sum, of which one is 1 larger and another 1 smaller."""
    found = [
        ascending(digits[:first] + str(int(digits[first]) + 1) + digits[first + 1 :])
        for first in range(len(digits))
        if digits[first] != "9"
    ]
    body = draw.choice(found)
    index = draw.choice([index for index, digit in enumerate(body) if digit != "0"])
    return ascending(body[:index] + str(int(body[index]) - 1) + body[index + 1 :])


def with_another_last_digit(draw, digits):
    """Return the right digits but for the last one, which numbers of limited precision do not hold."""
    body = ascending(digits)
    return body[:-1] + draw.choice(DIGITS.replace(body[-1], ""))


def with_one_missing(draw, digits):
    index = draw.integer(0, len(digits) - 1)
    return ascending(digits[:index] + digits[index + 1 :])


def with_one_of_several_missing(draw, digits):
    several = draw.choice([digit for digit in DIGITS if digits.count(digit) > 1])
    return ascending(digits.replace(several, "", 1))


def with_one_repeated(draw, digits):
    return ascending(digits + draw.choice(digits))


def with_neighbours_exchanged(draw, digits):
    body = ascending(digits)
    index = draw.choice([index for index in range(len(body) - 1) if body[index] != body[index + 1]])
    return body[:index] + body[index + 1] + body[index] + body[index + 2 :]


def ended(edits):
    """Return edits of completions from edits of their digits."""
    return {
        description: [lambda draw, digits, edit=edit: edit(draw, digits) + END_OF_TEXT]
        for description, edit in edits.items()
    }


DIGIT_EDITS = {
    "with other digits in ascending order": with_other_digits,
    "with one digit replaced by another": with_one_changed,
    "with other digits of the same sum": with_the_same_sum,
    "with another last digit": with_another_last_digit,
    "with a digit missing": with_one_missing,
    "with a digit missing of which there are several": with_one_of_several_missing,
    "with a digit too many": lambda draw, digits: ascending(digits + draw.choice(DIGITS)),
    "with a digit that occurs too often": with_one_repeated,
    "with two neighbouring digits exchanged": with_neighbours_exchanged,
    "with the digits in random order": lambda draw, digits: "".join(draw.shuffled(digits)),
    "with the digits in the order of the prompt": lambda draw, digits: digits,
    "with the digits in descending order": lambda draw, digits: ascending(digits)[::-1],
    "with each digit once": lambda draw, digits: "".join(sorted(set(digits))),
    "with the digits written twice": lambda draw, digits: 2 * ascending(digits),
    "without its zeros": lambda draw, digits: ascending(digits).lstrip("0"),
    "with zeros in front": lambda draw, digits: "0" * draw.integer(1, 3) + ascending(digits),
    "that breaks off": lambda draw, digits: ascending(digits)[: draw.integer(1, len(digits) - 1)],
    "without digits": lambda draw, digits: "",
}


@pytest.mark.points(1.5)
def test_other_digits_and_another_order_get_0(verify_sorted, draw):
    expect_wrong(verify_sorted, draw, ended(DIGIT_EDITS), each=4, high=30)
    for _ in range(3):
        digits = mixed_digits(draw, 24, 30)
        completion = with_another_last_digit(draw, digits) + END_OF_TEXT
        expect_reward(verify_sorted, digits, completion, 0, "a completion of many digits with another last digit")


def with_an_end_inside(draw, digits):
    return inserted(draw, ascending(digits), END_OF_TEXT, 1, len(digits) - 1)


END_EDITS = {
    "without an end-of-text token": [lambda draw, digits: ascending(digits)],
    "that is empty": [lambda draw, digits: ""],
    "that ends before its digits": [lambda draw, digits: END_OF_TEXT + ascending(digits)],
    "with an end before and behind its digits": in_front(END_OF_TEXT),
    "with several ends": behind_the_end(END_OF_TEXT, 2 * END_OF_TEXT),
    "that ends between its digits": [with_an_end_inside],
    "that ends between its digits and behind them": between_two_digits(END_OF_TEXT),
    "with a text behind the end": behind_the_end("0", "7", "24", "This", "=", "."),
    "with the prompt behind the end": [lambda draw, digits: f"{right(digits)}{digits}="],
    "written a second time behind the end": [lambda draw, digits: 2 * right(digits)],
    "with another token in place of the end-of-text token": [
        lambda draw, digits, end=end: ascending(digits) + end for end in OTHER_ENDS
    ],
    "that is a part of the end-of-text token": [
        lambda draw, digits, part=part: part for part in (*END_OF_TEXT.split("|"), "|", "<|", "|>", END_OF_TEXT[1:-1])
    ],
    "whose end-of-text token is broken off": [
        lambda draw, digits, part=part: ascending(digits) + part for part in ("<", "<|", "<|endoftext")
    ],
    "whose end-of-text token lacks a character": [
        lambda draw, digits, end=end: ascending(digits) + end
        for end in (END_OF_TEXT[1:], END_OF_TEXT[:-1], END_OF_TEXT.replace("|", "", 1))
    ],
}


@pytest.mark.points(1)
def test_a_completion_that_does_not_end_once_behind_its_digits_gets_0(verify_sorted, draw):
    expect_wrong(verify_sorted, draw, END_EDITS, each=2)


OTHER_EDITS = {
    "with a blank in front": in_front(" ", "  ", "\n", "\t"),
    "with a blank behind the end": behind_the_end(" ", "\t", "\u00a0"),
    "with a new line behind the end": behind_the_end("\n", "\r\n", "\n\n"),
    "with a blank behind the digits": behind_the_digits(" ", "\n", "\t"),
    "with a blank between digits": between_two_digits(" ", "\n", "\u00a0"),
    "with blanks between all digits": between_all_digits(" ", "\n"),
    "with commas between all digits": between_all_digits(",", ", "),
    "with a separator between digits": between_two_digits("_", ",", ".", "'"),
    "with a sign in front": in_front("+", "-", "\u2212"),
    "with a letter": [*in_front("o", "O"), *between_two_digits("l", "x"), *behind_the_digits("e", "L")],
    "with words in front": in_front("The answer is ", "Answer: ", "sorted:"),
    "with the prompt in front": [lambda draw, digits: f"{digits}={right(digits)}"],
    "with an equals sign": [*in_front("="), *behind_the_digits("=")],
    "in quotes or brackets": [
        lambda draw, digits, left=left, closing=closing: left + ascending(digits) + closing + END_OF_TEXT
        for left, closing in ("''", '""', "()", "[]", "``")
    ],
    "with decimals": behind_the_digits(".0", "."),
    "with an invisible character": [
        *in_front(*INVISIBLE),
        *between_two_digits(*INVISIBLE),
        *behind_the_digits(*INVISIBLE),
        *behind_the_end(*INVISIBLE),
    ],
    "with a special token before its digits": in_front(*SPECIAL_TOKENS),
    "with a special token between its digits": between_two_digits(*SPECIAL_TOKENS),
}


@pytest.mark.points(1)
def test_anything_besides_the_digits_and_the_end_gets_0(verify_sorted, draw):
    expect_wrong(verify_sorted, draw, OTHER_EDITS)


def in_another_alphabet(draw, digits):
    """Return digits, of which some or all are those of another alphabet."""
    table = str.maketrans(DIGITS, draw.choice(ALPHABETS))
    first = 0 if draw.integer(0, 1) else draw.integer(0, len(digits) - 1)
    last = len(digits) if not first else draw.integer(first + 1, len(digits))
    return digits[:first] + digits[first:last].translate(table) + digits[last:]


def with_superscripts(draw, digits):
    """Return digits, of which some are superscripts."""
    index = draw.integer(0, len(digits) - 1)
    return digits[:index] + digits[index:].translate(str.maketrans(DIGITS, SUPERSCRIPTS))


ALPHABET_EDITS = {
    "with digits of another alphabet": lambda draw, digits: in_another_alphabet(draw, ascending(digits)),
    "with superscript digits": lambda draw, digits: with_superscripts(draw, ascending(digits)),
}


@pytest.mark.points(0.5)
def test_digits_of_other_alphabets_get_0(verify_sorted, draw):
    expect_wrong(verify_sorted, draw, ended(ALPHABET_EDITS), each=6)


WRONG_PROMPTS = {
    "An empty prompt": [lambda draw, digits: ""],
    "A prompt without digits": [lambda draw, digits: "="],
    "A prompt without an equals sign": [lambda draw, digits: digits],
    "A prompt with two equals signs": [
        lambda draw, digits: f"{digits}==",
        lambda draw, digits: inserted(draw, digits, "=", 1, len(digits) - 1) + "=",
    ],
    "A prompt with an equals sign in front": [lambda draw, digits: f"={digits}", lambda draw, digits: f"={digits}="],
    "A prompt with digits behind the equals sign": [lambda draw, digits: f"{digits}={any_digits(draw, 1, 3)}"],
    "A prompt with a blank": [
        lambda draw, digits, blank=blank, form=form: form.format(digits[0], digits[1:], blank)
        for blank in (" ", "\t", "\u00a0")
        for form in ("{2}{0}{1}=", "{0}{2}{1}=", "{0}{1}{2}=", "{0}{1}={2}")
    ],
    "A prompt with a new line in front of it": [lambda draw, digits: f"\n{digits}="],
    "A prompt with a new line behind it": [lambda draw, digits: f"{digits}=\n"],
    "A prompt with a new line before the equals sign": [lambda draw, digits: f"{digits}\n="],
    "A prompt with a sign": [lambda draw, digits, sign=sign: f"{sign}{digits}=" for sign in "+-"],
    "A prompt with a separator": [
        lambda draw, digits, piece=piece: inserted(draw, digits, piece, 1, len(digits) - 1) + "=" for piece in "_,."
    ],
    "A prompt with a letter": [
        lambda draw, digits, piece=piece: inserted(draw, digits, piece) + "=" for piece in "aoxl"
    ],
    "A prompt with digits of another alphabet": 3 * [lambda draw, digits: in_another_alphabet(draw, digits) + "="],
    "A prompt with superscript digits": 2 * [lambda draw, digits: with_superscripts(draw, digits) + "="],
    "A prompt with another sign than =": [lambda draw, digits, sign=sign: digits + sign for sign in "＝≡:"],
    "A prompt with a special token": 2 * [lambda draw, digits: inserted(draw, f"{digits}=", END_OF_TEXT)],
}


def completion_of(prompt):
    """Return the completion that an answer would take for right which does not look at the prompt's form."""
    return "".join(sorted(prompt.strip().removesuffix("="))) + END_OF_TEXT


@pytest.mark.points(0.5)
def test_a_prompt_that_is_not_digits_and_an_equals_sign_is_a_value_error(verify_sorted, draw):
    expect_right(verify_sorted, mixed_digits(draw))
    found = [(description, edit) for description, alike in WRONG_PROMPTS.items() for edit in alike]
    for description, edit in draw.shuffled(found):
        prompt = edit(draw, mixed_digits(draw))
        for completion in (completion_of(prompt), draw.choice(("", right(any_digits(draw, 2, 6))))):
            expect_value_error(verify_sorted, [prompt, completion], description)
    expect_right(verify_sorted, mixed_digits(draw))


@pytest.mark.points(0.5)
def test_the_reward_is_a_python_float_and_torch_stays_as_it_was(verify_sorted, draw):
    for _ in range(3):
        digits = mixed_digits(draw)
        for completion, wanted in draw.shuffled([(right(digits), 1), (END_OF_TEXT + ascending(digits), 0)]):
            expect_reward(verify_sorted, digits, completion, wanted, "a completion")
            got = verify_sorted(f"{digits}=", completion)
            kind = known_class_name(type(got).__name__)
            assert isinstance(got, float), f"The reward should be a Python float; a {kind} came"
    expect_calls_leave_torch_alone(verify_sorted, [[f"{digits}=", right(digits)]])
