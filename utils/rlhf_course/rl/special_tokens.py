"""Tokens that mark a text's beginning, end or padding: a classifier of texts should not read them."""

END_OF_TEXT = "<|endoftext|>"
# Those of every model that this process has loaded.
_KNOWN: set[str] = {END_OF_TEXT}


def note_special_tokens(tokens: list[str]) -> None:
    """Add a tokenizer's special tokens to those that are known."""
    _KNOWN.update(token for token in tokens if token)


def without_special_tokens(text: str, keep: str | None = None) -> str:
    """The text with a space for every known special token but `keep`."""
    for token in sorted(_KNOWN - {keep}, key=len, reverse=True):
        text = text.replace(token, " ")
    return text
