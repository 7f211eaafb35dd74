"""Decode Python files in the encodings that editors write, and in no other ones.

Python has codecs that are slow, that run nested, or that raise on every input; a file may name any of them.
"""

import codecs
import re

_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_CODING = re.compile(r"^([ \t\f]*#.*?coding[:=][ \t]*)([-\w.]+)")
_BLANK = re.compile(r"^[ \t\f]*(?:#.*)?$")
_READ = re.compile(
    r"utf_?8(_sig)?|(us_?)?ascii|latin_?1|l1|iso_?(latin_?1|8859_?(1[0-6]|[1-9]))|(cp_?|windows_?)125[0-8]",
    re.IGNORECASE,
)
_MAX_DECLARATION = 1000


class UnknownEncoding(ValueError):
    """An error for a file in an encoding that is not read; the message continues a sentence about the file."""


def decode_python(content: bytes) -> tuple[str, list[str]]:
    """Return the text of a Python file, with line feeds as line ends and declared as UTF-8, and sentences about it.

    Args:
        content: The file: UTF-8, UTF-16 with a byte order mark, or an encoding of Latin or Windows that it declares.

    Returns:
        The text, and the ends of sentences whose subject is the file.

    Raises:
        UnknownEncoding: The file declares an encoding that is not read.
    """
    mark = next((mark for mark in _BYTE_ORDER_MARKS if content.startswith(mark)), b"")
    encoding = _BYTE_ORDER_MARKS.get(mark) or _declared_encoding(content)
    problems = []
    try:
        text = content[len(mark) :].decode(encoding)
    except (UnicodeError, LookupError):
        text = content.decode("latin-1")
        problems.append(f"is not encoded in {encoding}; it was read as latin-1")
    if encoding in ("utf-16-le", "utf-16-be"):
        problems.append("is encoded in UTF-16, which Python itself cannot read: save it as UTF-8")
    if "\0" in text:
        problems.append("holds null bytes, so Python cannot import it")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    # The text will be written in UTF-8, so a declaration of another encoding would be wrong.
    lines[:2] = [_CODING.sub(r"\1utf-8", line) for line in lines[:2]]
    return "\n".join(lines), problems


def _declared_encoding(content: bytes) -> str:
    """Return the encoding that a Python file declares in its first two lines; UTF-8 if it declares none.

    Raises:
        UnknownEncoding: The encoding is not read.
    """
    lines = re.split(r"\r\n|\r|\n", content[:_MAX_DECLARATION].decode("latin-1"))[:2]
    for line in lines:
        if match := _CODING.match(line):
            if _READ.fullmatch(match[2].replace("-", "_")) is None:
                raise UnknownEncoding(f"declares the encoding {match[2][:40]}, which is not read: save it as UTF-8")
            return match[2].lower()
        if _BLANK.match(line) is None:
            break
    return "utf-8"
