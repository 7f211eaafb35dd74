"""Draw texts as a language model writes them, and such as make naive code fail."""

from collections.abc import Sequence

from rlhf_course.grading.judge.draw import Draw

END_OF_TEXT = "<|endoftext|>"
WORDS = (
    *("this", "film", "was", "good", "bad", "a", "dull", "story", "and", "never", "the", "end", "of", "text"),
    *("this", "film", "was", "good", "bad", "a", "dull", "story", "and", "never"),
    *("director", "ticket", "music", "weather", "window", "quite", "again"),
)
_BLANKS = ("", " ", "\n", "\t \n", "   ")
# "é" is one character in "café", and a letter and an accent in "cafe\u0301".
_UNICODE = (
    "“good”",
    "‘bad’",
    "film…",
    "café",
    "cafe\u0301",
    "naïve",
    "映画",
    "фильм",
    "👍🏽",
    "½",
    "story—and",
    "ﬁlm",
    "…",
)
_SPECIAL_TOKENS = (END_OF_TEXT, END_OF_TEXT, "[SEP]", "[CLS]", "[MASK]", "</s>", "<unk>")


def words(draw: Draw, low: int, high: int) -> list[str]:
    """Draw a number of words from `low` to `high`."""
    return [draw.choice(WORDS) for _ in range(draw.integer(low, high))]


def ordinary_text(draw: Draw) -> str:
    """Draw a text of a few words; some end with a period."""
    return " ".join(words(draw, 3, 12)) + draw.choice(("", " ."))


def with_insertions(draw: Draw, pieces: Sequence[str], low: int, high: int) -> str:
    """Draw a text of some words, with pieces of which each is a word of its own."""
    text = words(draw, low, high)
    for piece in pieces:
        text.insert(draw.integer(0, len(text)), piece)
    return " ".join(text)


def unicode_texts(draw: Draw, count: int) -> list[str]:
    """Draw texts that hold, together, letters of several alphabets, curly quotes and the other pieces of `_UNICODE`."""
    return _texts_with_all(draw, _UNICODE, 4, count)


def texts_between_blanks(draw: Draw, count: int) -> list[str]:
    """Draw texts that begin and end with spaces or new lines."""
    ends = (" ", "  ", "\n", " \n")
    return [draw.choice(ends) + text + draw.choice(ends) for text in _ordinary_texts(draw, count)]


def partly_blank_texts(draw: Draw, count: int) -> list[str]:
    """Draw texts of which the first half, and at least one, are empty or hold blanks alone; in random order."""
    blank = (count + 1) // 2
    return draw.shuffled([*(draw.choice(_BLANKS) for _ in range(blank)), *_ordinary_texts(draw, count - blank)])


def long_texts(draw: Draw, count: int) -> list[str]:
    """Draw texts of 45 to 58 words, which are over 100 characters."""
    return [" ".join(words(draw, 45, 58)) for _ in range(count)]


def texts_of_all_lengths(draw: Draw, count: int) -> list[str]:
    """Draw texts of which every second is much longer than the others."""
    return [" ".join(words(draw, *((1, 3), (25, 45))[index % 2])) for index in range(count)]


def texts_of_lines(draw: Draw, count: int) -> list[str]:
    """Draw texts of several lines, with line breaks of Unix and of Windows."""
    return [draw.choice(("\n", "\r\n", "\n\n")).join(_ordinary_texts(draw, 3)) for _ in range(count)]


def partly_equal_texts(draw: Draw, count: int) -> list[str]:
    """Draw texts of which some are equal, in random order."""
    different = _ordinary_texts(draw, max(1, count // 2))
    return draw.shuffled([different[index % len(different)] for index in range(count)])


def texts_with_special_tokens(draw: Draw, count: int) -> list[str]:
    """Draw texts that hold, together, all special tokens of `_SPECIAL_TOKENS`, written out."""
    return _texts_with_all(draw, _SPECIAL_TOKENS, 2, count)


def _texts_with_all(draw: Draw, pieces: Sequence[str], least: int, count: int) -> list[str]:
    """Draw texts that hold, together, all of some pieces, and each at least so many of them."""
    shuffled = draw.shuffled(pieces)
    own = [shuffled[index::count] for index in range(count)]
    return [with_insertions(draw, [*few, *draw.sample(pieces, max(0, least - len(few)))], 3, 8) for few in own]


def _ordinary_texts(draw: Draw, count: int) -> list[str]:
    return [ordinary_text(draw) for _ in range(count)]


def crowded_texts(characters: str, draw: Draw, count: int) -> list[str]:
    """Draw texts in which each of some characters occurs an odd number of times, which 11 bits do not hold."""
    return [_crowded_text(characters, draw) for _ in range(count)]


def _crowded_text(characters: str, draw: Draw) -> str:
    text = ordinary_text(draw)
    counts = {character: 2 * draw.integer(1060, 1500) + 1 for character in characters}
    crowd = "".join(character * (count - text.count(character)) for character, count in counts.items())
    return "".join(draw.shuffled(crowd + text))
