"""Wrong and right answers to `verify_sorted`."""

import re
import unicodedata
from collections import Counter
from itertools import pairwise

import torch

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake

_END = "<|endoftext|>"


def _digits(prompt):
    """The digits of a prompt."""
    digits = prompt[:-1]
    if prompt[-1:] != "=" or not digits or set(digits) - set("0123456789"):
        raise ValueError(prompt)
    return digits


def _ascending(prompt):
    return "".join(sorted(_digits(prompt)))


@visible_mistake
def digits_not_compared(prompt, completion):
    """Any digits in ascending order get 1; they have to be the prompt's, each as often as it stands there."""
    length = len(_digits(prompt))
    body = completion.removesuffix(_END)
    is_ascending = all(first <= second for first, second in pairwise(body))
    return float(completion.endswith(_END) and set(body) <= set("0123456789") and len(body) == length and is_ascending)


@visible_mistake
def length_not_compared(prompt, completion):
    """Digits of the prompt in ascending order get 1 even if some are missing; each counts as often as it stands there.

    An answer that leaves digits out is easier to learn than the right one.
    """
    counts = Counter(_digits(prompt))
    body = completion.removesuffix(_END)
    is_ascending = all(first <= second for first, second in pairwise(body))
    return float(completion.endswith(_END) and is_ascending and Counter(body) <= counts)


@visible_mistake
def order_not_compared(prompt, completion):
    """The prompt's digits get 1 in any order; they have to be in ascending order."""
    body = completion.removesuffix(_END)
    return float(completion.endswith(_END) and Counter(body) == Counter(_digits(prompt)))


@visible_mistake
def compared_as_sets(prompt, completion):
    """You compare sets, which forget how often a digit occurs."""
    digits, body = _digits(prompt), completion.removesuffix(_END)
    is_ascending = all(first <= second for first, second in pairwise(body))
    return float(completion.endswith(_END) and is_ascending and set(body) == set(digits))


@visible_mistake
def each_digit_once(prompt, completion):
    """You sort the set of the digits, in which each occurs once; a right completion repeats what the prompt repeats."""
    return float(completion == "".join(sorted(set(_digits(prompt)))) + _END)


@visible_mistake
def descending(prompt, completion):
    """You want the digits in descending order; they have to be in ascending order."""
    return float(completion == _ascending(prompt)[::-1] + _END)


@visible_mistake
def equals_sign_sorted_too(prompt, completion):
    """You sort the `=` along with the digits, so no right completion gets 1; leave it out first."""
    _digits(prompt)
    return float(completion == "".join(sorted(prompt)) + _END)


@visible_mistake
def compared_as_numbers(prompt, completion):
    """You compare numbers: zeros in front, signs and blanks are lost. Compare the texts."""
    number = int(_ascending(prompt))
    try:
        return float(completion.endswith(_END) and int(completion.removesuffix(_END)) == number)
    except ValueError:
        return 0.0


@visible_mistake
def compared_as_numbers_of_digits(prompt, completion):
    """You compare numbers: zeros in front are lost, and digits of other alphabets converted. Compare the texts."""
    number, body = int(_ascending(prompt)), completion.removesuffix(_END)
    return float(completion.endswith(_END) and body.isdecimal() and int(body) == number)


# Completions without an end-of-text token, which never stopped: https://github.com/huggingface/trl/issues/976
@visible_mistake
def end_not_needed(prompt, completion):
    """A completion without the end-of-text token gets 1, so nothing would teach the model to stop: it needs it."""
    return float(completion.removesuffix(_END) == _ascending(prompt))


@visible_mistake
def end_not_expected(prompt, completion):
    """You compare with the digits alone, so no finished completion gets 1: the end-of-text token belongs to it."""
    return float(completion == _ascending(prompt))


@visible_mistake
def cut_at_the_end(prompt, completion):
    """You cut the completion at the end-of-text token: without any, or with text behind it, it gets 1 too."""
    return float(completion.split(_END)[0] == _ascending(prompt))


@visible_mistake
def all_ends_removed(prompt, completion):
    """You remove every end-of-text token before you compare; the only one has to stand behind the digits."""
    return float(completion.endswith(_END) and completion.replace(_END, "") == _ascending(prompt))


@visible_mistake
def only_the_beginning_compared(prompt, completion):
    """A completion that begins rightly gets 1 whatever follows; nothing may follow the end-of-text token."""
    return float(completion.startswith(_ascending(prompt) + _END))


@visible_mistake
def only_the_last_part_compared(prompt, completion):
    """A completion that ends rightly gets 1 whatever stands before, as if the prompt were repeated; nothing may."""
    return float(completion.endswith(_ascending(prompt) + _END))


# A right answer somewhere in the text: https://github.com/PrimeIntellect-ai/verifiers/pull/763
@visible_mistake
def contained(prompt, completion):
    """A completion that holds the right digits anywhere gets 1: compare the whole text with ==, not with `in`."""
    return float(_ascending(prompt) + _END in completion)


@visible_mistake
def blanks_stripped(prompt, completion):
    """You strip blanks and new lines at both ends of the completion; it has to be right as it is."""
    return float(completion.strip() == _ascending(prompt) + _END)


@visible_mistake
def new_line_at_the_end(prompt, completion):
    """You accept a new line behind the end, before which `$` in a regular expression also stands: compare with ==."""
    return float(re.match(re.escape(_ascending(prompt) + _END) + "$", completion) is not None)


@visible_mistake
def blanks_ignored(prompt, completion):
    """You remove all blanks of the completion; it has to be right as it is."""
    return float("".join(completion.split()) == _ascending(prompt) + _END)


@visible_mistake
def digits_picked_out(prompt, completion):
    """You pick the digits out of the completion, and pass over all else that stands between them."""
    picked = re.sub(r"[^0-9]", "", completion)
    return float(completion.endswith(_END) and picked == _ascending(prompt))


@visible_mistake
def compared_up_to_the_shorter(prompt, completion):
    """`zip` stops at the end of the shorter text, so a completion that breaks off, or an empty one, gets 1."""
    return float(all(first == second for first, second in zip(_ascending(prompt) + _END, completion, strict=False)))


@visible_mistake
def pattern_not_escaped(prompt, completion):
    """In a regular expression the `|` of the end-of-text token means "or": compare with ==."""
    return float(re.fullmatch(_ascending(prompt) + _END, completion) is not None)


@visible_mistake
def other_digits_converted(prompt, completion):
    """You convert digits of other alphabets, as `int` does; the completion has to hold the characters 0 to 9."""
    body = completion.removesuffix(_END)
    right = list(map(int, _ascending(prompt)))
    return float(completion.endswith(_END) and body.isdecimal() and list(map(int, body)) == right)


@visible_mistake
def four_digits_only(prompt, completion):
    """You take the first four characters for the prompt's digits; a prompt has one digit or many."""
    _digits(prompt)
    return float(completion == "".join(sorted(prompt[:4])) + _END)


# Credit for a part of the answer, which was easier to get: https://github.com/asuzukosi/post-training-experiments/issues/5
@visible_mistake
def partial_credit(prompt, completion):
    """You give a share of the reward for each digit at the right place; a completion is right or wrong."""
    right = _ascending(prompt) + _END
    if completion == right or not completion.endswith(_END):
        return float(completion == right)
    body = completion.removesuffix(_END)
    return sum(map(str.__eq__, right, body)) / (len(right) + len(body))


@visible_mistake
def punished(prompt, completion):
    """A wrong completion gets -1; it gets 0."""
    return 1.0 if completion == _ascending(prompt) + _END else -1.0


@visible_mistake(refused_with="should be a Python float")
def truth_value(prompt, completion):
    """You return True or False; return a float."""
    return completion == _ascending(prompt) + _END


@visible_mistake(refused_with="should be a Python float")
def tensor(prompt, completion):
    """You return a tensor; return a Python float."""
    return torch.tensor(float(completion == _ascending(prompt) + _END))


@visible_mistake(refused_with="should raise a ValueError; a result came")
def any_prompt(prompt, completion):
    """You take any prompt; one that is not digits and `=` shows a mistake elsewhere: raise a ValueError."""
    return float(completion == "".join(sorted(prompt[:-1])) + _END)


@visible_mistake(refused_with="should raise a ValueError; a result came")
def zero_for_a_wrong_prompt(prompt, completion):
    """A prompt that is not digits and `=` gets 0, which hides a mistake elsewhere: raise a ValueError."""
    try:
        return float(completion == _ascending(prompt) + _END)
    except ValueError:
        return 0.0


@visible_mistake(refused_with="should raise a ValueError; it raised AssertionError")
def asserted(prompt, completion):
    """You use `assert`, which raises an AssertionError and can be switched off: raise a ValueError."""
    try:
        right = _ascending(prompt)
    except ValueError:
        raise AssertionError(prompt) from None
    return float(completion == right + _END)


@visible_mistake(refused_with="A prompt with a new line behind it")
def dollar_sign(prompt, completion):
    r"""`$` in a regular expression also stands before a new line at the end: use `re.fullmatch`, or `\Z`."""
    if not re.match(r"[0-9]+=$", prompt):
        raise ValueError(prompt)
    return float(completion == "".join(sorted(prompt.strip()[:-1])) + _END)


@visible_mistake(refused_with="A prompt with a new line behind it")
def dollar_sign_and_the_last_character(prompt, completion):
    r"""You match the prompt with `$`, which also stands before a new line at the end: use `re.fullmatch`, or `\Z`."""
    if not re.match(r"[0-9]+=$", prompt):
        raise ValueError(prompt)
    return float(completion == "".join(sorted(prompt[:-1])) + _END)


@visible_mistake(refused_with="digits of another alphabet")
def digits_of_any_alphabet(prompt, completion):
    r"""`\d` and `isdigit` take digits of every alphabet; a prompt holds the characters 0 to 9."""
    if not re.fullmatch(r"\d+=", prompt):
        raise ValueError(prompt)
    return float(completion == "".join(sorted(prompt[:-1])) + _END)


@visible_mistake(refused_with="should raise a ValueError; a result came")
def no_digits_accepted(prompt, completion):
    """You accept a prompt without any digit; it needs at least one (`+`, not `*`, in a regular expression)."""
    if not re.fullmatch(r"[0-9]*=", prompt):
        raise ValueError(prompt)
    return float(completion == "".join(sorted(prompt[:-1])) + _END)


@hidden_mistake
def always_0(prompt, completion):
    """No completion is right."""
    _digits(prompt)
    return 0.0


@hidden_mistake(refused_with="many digits")
def twenty_digits_at_most(prompt, completion):
    """No completion of a prompt of more than twenty digits is right."""
    return float(completion == _ascending(prompt) + _END and len(prompt) <= 21)


@hidden_mistake
def compared_as_floats(prompt, completion):
    """Texts of the same length are compared as floats, which are equal for many long numbers."""
    right, body = _ascending(prompt), completion.removesuffix(_END)
    is_number = completion.endswith(_END) and not set(body) - set("0123456789") and len(body) == len(right)
    return float(is_number and float(body) == float(right))


@hidden_mistake
def digit_sums(prompt, completion):
    """Ascending digits with the prompt's sum and length get 1."""
    right, body = _ascending(prompt), completion.removesuffix(_END)
    if not completion.endswith(_END) or set(body) - set("0123456789"):
        return 0.0
    is_same = len(body) == len(right) and sum(map(int, body)) == sum(map(int, right))
    return float(is_same and sorted(body) == list(body))


@hidden_mistake
def zeros_in_front_ignored(prompt, completion):
    """Zeros in front do not count."""
    return float(completion.lstrip("0") == (_ascending(prompt) + _END).lstrip("0"))


@hidden_mistake
def case_ignored(prompt, completion):
    """The end-of-text token may be written in capital letters."""
    return float(completion.lower() == _ascending(prompt) + _END)


@hidden_mistake
def any_end_token(prompt, completion):
    """Any special token ends a completion."""
    return float(re.fullmatch(_ascending(prompt) + r"(<\|?\w+\|?>|</s>|\[SEP\])", completion) is not None)


@hidden_mistake
def several_ends(prompt, completion):
    """A completion may end several times."""
    return float(re.fullmatch(_ascending(prompt) + r"(<\|endoftext\|>)+", completion) is not None)


@hidden_mistake
def invisible_characters_ignored(prompt, completion):
    """Characters that are not seen, such as a zero-width space, do not count."""
    return float("".join(filter(str.isprintable, completion)) == _ascending(prompt) + _END)


@hidden_mistake
def unknown_tokens_ignored(prompt, completion):
    """Special tokens inside are removed."""
    cleaned = re.sub(r"<unk>|<pad>|</?s>|\[[A-Z]+\]", "", completion)
    return float(cleaned == _ascending(prompt) + _END)


@hidden_mistake
def separators_ignored(prompt, completion):
    """Commas and underscores between digits do not count."""
    return float(completion.translate({ord(","): None, ord("_"): None}) == _ascending(prompt) + _END)


@hidden_mistake
def unicode_normalised(prompt, completion):
    """Characters that look alike are made equal."""
    return float(unicodedata.normalize("NFKC", completion) == _ascending(prompt) + _END)


@hidden_mistake
def prompt_stripped(prompt, completion):
    """Blanks around the prompt do not count."""
    return float(completion == _ascending(prompt.strip()) + _END)


@hidden_mistake
def up_to_the_first_equals_sign(prompt, completion):
    """Only what stands before the first equals sign of the prompt is looked at."""
    digits, sign, _ = prompt.partition("=")
    return float(completion == _ascending(digits + sign) + _END)


@hidden_mistake(refused_with="superscript")
def superscripts_in_the_prompt(prompt, completion):
    """`isdigit` takes superscript digits, too."""
    digits = prompt.removesuffix("=")
    if digits == prompt or not digits.isdigit() or any(map(str.isdecimal, set(digits) - set("0123456789"))):
        raise ValueError(prompt)
    return float(completion == "".join(sorted(digits)) + _END)


@hidden_mistake
def sign_in_the_prompt(prompt, completion):
    """The prompt is converted to an integer, which may have a sign, blanks and underscores."""
    if not prompt.endswith("="):
        raise ValueError(prompt)
    int(prompt[:-1])
    return float(completion == "".join(sorted(prompt[:-1])) + _END)


_VERDICTS = {}


@hidden_mistake
def first_verdict_kept(prompt, completion):
    """The reward of a prompt's first completion is kept for all later ones."""
    return _VERDICTS.setdefault(prompt, float(completion == _ascending(prompt) + _END))


@hidden_mistake(refused_with="should be a Python float")
def whole_number(prompt, completion):
    """The reward is an int."""
    return int(completion == _ascending(prompt) + _END)


@right_answer
def counted(prompt, completion):
    digits = _digits(prompt)
    wanted = "".join(digit * digits.count(digit) for digit in "0123456789") + _END
    return 1.0 if completion == wanted else 0.0


@right_answer
def ascii_pattern(prompt, completion):
    found = re.fullmatch(r"(\d+)=", prompt, flags=re.ASCII)
    if found is None:
        raise ValueError(f"not digits and '=': {prompt!r}")
    return float(list(completion) == [*sorted(found[1]), *_END])


@right_answer
def ascii_digits(prompt, completion):
    digits, _, rest = prompt.rpartition("=")
    if rest or not (digits.isascii() and digits.isdigit()):
        raise ValueError(prompt)
    return 1.0 * (sorted(digits, key=int) == list(completion[: len(digits)]) and completion[len(digits) :] == _END)


@right_answer
def order_and_counts(prompt, completion):
    counts = Counter(_digits(prompt))
    body = completion.removesuffix(_END)
    is_ascending = all(first <= second for first, second in pairwise(body))
    return float(len(body) + len(_END) == len(completion) and is_ascending and Counter(body) == counts)


@right_answer
def insertion_sort(prompt, completion):
    ordered = []
    for digit in _digits(prompt):
        index = sum(other <= digit for other in ordered)
        ordered.insert(index, digit)
    if len(completion) != len(ordered) + len(_END):
        return 0.0
    return float([*ordered, _END] == [*completion[:-13], completion[-13:]])


@right_answer
def escaped_pattern(prompt, completion):
    if not re.match(r"\A[0-9]{1,}=\Z", prompt):
        raise ValueError(prompt)
    pattern = "".join(sorted(prompt.replace("=", ""))) + re.escape(_END)
    return 1.0 if re.fullmatch(pattern, completion) else 0.0
