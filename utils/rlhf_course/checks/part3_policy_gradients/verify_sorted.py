"""Self-check of `verify_sorted`."""

from collections.abc import Mapping
from typing import Any

from rlhf_course.checks.core import Answer, Case, Check, Observation, observe_result, refused

HINTS = (
    "A verifier is a program, and training finds every completion that it accepts. So do not look for the right digits "
    "somewhere in the completion: make the only right completion from the prompt, and compare whole texts.",
    "Two strings go in, a Python float comes out: 1.0 or 0.0. The right completion of `7294=` is the prompt without "
    "its last character, in ascending order, which is `2479`, followed by `<|endoftext|>`. Digits that are characters "
    "sort as numbers do.",
    "Raise a ValueError unless the whole prompt (`re.fullmatch`) is one or more of the characters 0 to 9 and one `=`; "
    r"`\d` and `isdigit` take digits of other alphabets too. Join the sorted digits, append the end-of-text token, "
    "compare with the completion by `==`, and convert the result to a float.",
)


def _case(prompt: str, completion: str) -> Case:
    return Case(f"prompt = {prompt!r}, completion = {completion!r}", {"prompt": prompt, "completion": completion})


CASES = {
    "right": _case("7294=", "2479<|endoftext|>"),
    "repeated digits": _case("31311=", "11133<|endoftext|>"),
    "zeros": _case("5020=", "0025<|endoftext|>"),
    "one digit": _case("4=", "4<|endoftext|>"),
    "many digits": _case("864209753186420975=", "001223445566778899<|endoftext|>"),
    "already sorted": _case("1468=", "1468<|endoftext|>"),
    "order of the prompt": _case("7294=", "7294<|endoftext|>"),
    "descending": _case("7294=", "9742<|endoftext|>"),
    "other digits": _case("7294=", "1358<|endoftext|>"),
    "another number of digits": _case("7294=", "29<|endoftext|>"),
    "a digit missing": _case("31311=", "1133<|endoftext|>"),
    "zeros missing": _case("5020=", "25<|endoftext|>"),
    "nothing but the end": _case("7294=", "<|endoftext|>"),
    "empty": _case("7294=", ""),
    "no end": _case("7294=", "2479"),
    "text after the end": _case("7294=", "2479<|endoftext|>7294="),
    "two ends": _case("7294=", "2479<|endoftext|><|endoftext|>"),
    "an end in front": _case("7294=", "<|endoftext|>2479<|endoftext|>"),
    "a blank in front": _case("7294=", " 2479<|endoftext|>"),
    "a new line at the end": _case("7294=", "2479<|endoftext|>\n"),
    "blanks between digits": _case("7294=", "2 4 7 9<|endoftext|>"),
    "a sign": _case("7294=", "+2479<|endoftext|>"),
    "the prompt repeated": _case("7294=", "7294=2479<|endoftext|>"),
    "an equals sign": _case("7294=", "2479=<|endoftext|>"),
    "full-width digits": _case("7294=", "２４７９<|endoftext|>"),
    "an empty prompt": refused(_case("", "<|endoftext|>"), "the prompt is empty"),
    "a prompt without digits": refused(_case("=", "<|endoftext|>"), "the prompt has no digit"),
    "a prompt without =": refused(_case("729", "279<|endoftext|>"), "the prompt does not end with `=`"),
    "a prompt with two =": refused(
        _case("7=2=", "27<|endoftext|>"), "the prompt has another character than a digit before its last `=`"
    ),
    "a prompt with a blank": refused(_case("7 2=", "27<|endoftext|>"), "the prompt has a blank"),
    "a prompt with a letter": refused(_case("7a2=", "27a<|endoftext|>"), "the prompt has a letter"),
    "a prompt with a new line": refused(_case("72=\n", "27<|endoftext|>"), "a new line follows the prompt's `=`"),
    "a prompt with full-width digits": refused(
        _case("７２=", "２７<|endoftext|>"), "the prompt has digits other than 0 to 9"
    ),
}


def _observe(verify_sorted: Answer, inputs: Mapping[str, Any]) -> Observation:
    result = verify_sorted(*inputs.values())
    kind = type(result).__name__
    return {"type": kind, "result": float(result)} if isinstance(result, bool | int | float) else observe_result(result)


CHECK = Check("verify_sorted", CASES, _observe)


def test_the_prompts_digits_in_ascending_order_and_the_end_get_1(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "right")


def test_digits_that_occur_several_times_and_zeros_count_as_often_as_in_the_prompt(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "repeated digits")
    CHECK.require(verify_sorted, "zeros")


def test_prompts_of_one_digit_and_of_many_have_a_right_completion_too(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "one digit")
    CHECK.require(verify_sorted, "many digits")
    CHECK.require(verify_sorted, "already sorted")


def test_digits_in_another_order_get_0(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "order of the prompt")
    CHECK.require(verify_sorted, "descending")


def test_digits_that_are_not_the_prompts_get_0(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "other digits")
    CHECK.require(verify_sorted, "another number of digits")


def test_a_digit_too_few_gets_0(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "a digit missing")
    CHECK.require(verify_sorted, "zeros missing")


def test_a_completion_without_digits_gets_0(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "nothing but the end")
    CHECK.require(verify_sorted, "empty")


def test_a_completion_that_does_not_end_or_goes_on_behind_its_end_gets_0(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "no end")
    CHECK.require(verify_sorted, "text after the end")
    CHECK.require(verify_sorted, "two ends")
    CHECK.require(verify_sorted, "an end in front")


def test_blanks_and_signs_get_0(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "a blank in front")
    CHECK.require(verify_sorted, "a new line at the end")
    CHECK.require(verify_sorted, "blanks between digits")
    CHECK.require(verify_sorted, "a sign")


def test_text_of_the_prompt_gets_0(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "the prompt repeated")
    CHECK.require(verify_sorted, "an equals sign")


def test_digits_of_another_alphabet_get_0(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "full-width digits")


def test_a_prompt_that_lacks_digits_or_the_equals_sign_is_a_value_error(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "an empty prompt")
    CHECK.require(verify_sorted, "a prompt without digits")
    CHECK.require(verify_sorted, "a prompt without =")


def test_a_prompt_with_anything_else_is_a_value_error(verify_sorted: Answer) -> None:
    CHECK.require(verify_sorted, "a prompt with two =")
    CHECK.require(verify_sorted, "a prompt with a blank")
    CHECK.require(verify_sorted, "a prompt with a letter")
    CHECK.require(verify_sorted, "a prompt with a new line")
    CHECK.require(verify_sorted, "a prompt with full-width digits")
