"""A reward that can be checked: whether a completion is right."""

import re


def verify_sorted(prompt: str, completion: str) -> float:
    """1.0 if the completion is right, and 0.0 if anything about it is not.

    The prompt `7294=` asks for its digits in ascending order. The only right completion is `2479<|endoftext|>`: exactly
    the prompt's digits, each as often as the prompt has it, then the end-of-text token, and nothing else.

    Args:
        prompt: one or more of the digits 0 to 9, and `=`.
        completion: any text, with special tokens written out, up to its first end-of-text token. A
            completion without that token is not finished, and therefore wrong.

    Raises:
        ValueError: the prompt has another form.
    """
    ### BEGIN SOLUTION
    if not re.fullmatch(r"[0-9]+=", prompt):
        raise ValueError(f"prompt takes digits and '=', got {prompt!r}")
    return float(completion == "".join(sorted(prompt[:-1])) + "<|endoftext|>")
    ### END SOLUTION
