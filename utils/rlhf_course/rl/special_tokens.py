"""Remove special tokens, such as the end-of-text token, from texts before they are classified or shown."""

END_OF_TEXT = "<|endoftext|>"
# The special tokens of every model that this process has loaded. A reward function gets texts alone, and no tokenizer.
_SPECIAL_TOKENS: set[str] = {END_OF_TEXT}


def register_special_tokens(tokens: list[str]) -> None:
    """Add a tokenizer's special tokens to those that `without_special_tokens` removes."""
    _SPECIAL_TOKENS.update(token for token in tokens if token)


def without_special_tokens(text: str, keep: str | None = None) -> str:
    """Replace every registered special token of a text, except `keep`, by a space."""
    for token in sorted(_SPECIAL_TOKENS - {keep}, key=len, reverse=True):
        text = text.replace(token, " ")
    return text
