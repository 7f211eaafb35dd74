"""Filter plain prose from the sources: ASCII-like characters, whole sentences, no code, no repetition."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

TYPOGRAPHY = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201a": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u201e": '"',
        "\u2013": "-",
        "\u2014": " - ",
        "\u2026": "...",
        "\u00a0": " ",
        "\u00ad": None,
        "\u2212": "-",
        "`": "'",
    }
)
CODE_WORD = re.compile(r"\S*(?:[_{}<>=\\|@#~^*\[\]+]|::|\(\)|//|\w\.[a-z]{2,}|^--|[a-z][A-Z])\S*")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]*[A-Z0-9])")
ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|Jr|Sr|vs|etc|e\.g|i\.e|p\.m|a\.m|Gen|Sen|Rep|Gov)|\b[A-Z](?:\.[A-Z])*)\.[\"')]*$"
)
CHAT = re.compile(
    r"(?i)\b(sure,? here|here is (a|an|the) (short|revised|review|possible)|as an ai|ai (assistant|model)|"
    r"s[lm]o[lm]+\b|hugging face|language model|\[your|\[name|i hope this (helps|email finds)|"
    r"system prompt|word count|100 words|the (assistant|user)\b|certainly!)"
)
LOOP = re.compile(r"(.{12,}?)\1\1", re.DOTALL)


def normalise(text: str) -> str:
    """Convert a text to ASCII-like characters and single spaces."""
    text = unicodedata.normalize("NFKD", text.translate(TYPOGRAPHY)).encode("ascii", "ignore").decode()
    text = re.sub(r"''|\"\"", '"', text)
    text = re.sub(r"(?<!\.)\.{5,}", "....", text)
    return re.sub(r"\s+", " ", text).strip()


def sentences(text: str) -> list[str]:
    """Split at sentence ends, but not after abbreviations and initials."""
    parts: list[str] = []
    start = 0
    for match in SENTENCE_END.finditer(text):
        head = text[start : match.end()].rstrip()
        if not ABBREVIATION.search(head):
            parts.append(head)
            start = match.end()
    return [*parts, text[start:].strip()] if text[start:].strip() else parts


def is_prose(sentence: str) -> bool:
    """Return whether a sentence is prose: enough words, mostly letters, an end mark, no code."""
    words = sentence.split()
    letters = sum(character.isalpha() or character == " " for character in sentence)
    return (
        4 <= len(words) <= 80
        and sentence[0] in "\"'(" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        and sentence.rstrip("\"')")[-1:] in ".!?"
        and letters >= 0.85 * len(sentence)
        and sum(word.isupper() and len(word) > 2 for word in words) <= max(1, len(words) // 6)
        and not any(CODE_WORD.match(word) for word in words)
        and max(map(len, words)) <= 20
    )


def prose(paragraph: str, seen: Counter[str]) -> str:
    """Return the prose sentences of a paragraph, or "" when fewer than half are prose.

    Args:
        paragraph: any text.
        seen: counts of the sentences so far; a sentence that was counted before is dropped.
    """
    selected: list[str] = []
    parts = sentences(normalise(paragraph))
    for sentence in parts:
        seen[sentence] += 1
        if is_prose(sentence) and seen[sentence] == 1:
            selected.append(sentence)
    return " ".join(selected) if selected and 2 * len(selected) >= len(parts) else ""


def written(text: str, ended: bool, seen: Counter[str]) -> str:
    """Return the whole sentences of a text by the writer, or "" for boilerplate, lists, loops and repetitions."""
    if CHAT.search(text) or LOOP.search(text) or re.search(r"\n\s*(?:\d+[.)]|[-*])\s", text):
        return ""
    selected: list[str] = []
    paragraphs = [paragraph for paragraph in text.split("\n") if paragraph.strip()]
    parts = [sentence for paragraph in paragraphs for sentence in sentences(normalise(paragraph))]
    if not ended and parts:
        parts.pop()
    for sentence in parts:
        seen[sentence] += 1
        limit = 3 if len(sentence.split()) < 6 else 1
        if sentence in selected or seen[sentence] > limit:
            continue
        if sentence.rstrip("\"')")[-1:] in ".!?" and len(sentence.split()) <= 60:
            selected.append(sentence)
    text = " ".join(selected)
    return "" if len(text) < 60 or repetitive(text) else text


def repetitive(text: str) -> bool:
    """Return whether many word triples occur more than once, as when a small model repeats itself."""
    words = text.lower().split()
    triples = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
    return bool(triples) and len(set(triples)) < 0.85 * len(triples)


def clean_all(paragraphs: Iterable[str], seen: Counter[str]) -> str:
    """Return the prose of a document, one paragraph in each line."""
    return "\n".join(filter(None, (prose(paragraph, seen) for paragraph in paragraphs)))
