"""Refuse pretrained folders that lack what Transformers would make up: weights, and a vocabulary of the tokenizer."""

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, PreTrainedModel

from rlhf_course.errors import CourseError

_TEXT = "This is a test."


class CompleteCausalLM:
    """Load a causal language model like `AutoModelForCausalLM`, but refuse one whose weights are not all stored."""

    @staticmethod
    def from_pretrained(*args: Any, **kwargs: Any) -> PreTrainedModel:
        """Load the model.

        Raises:
            CourseError: Weights are missing.
        """
        return load_complete(AutoModelForCausalLM, *args, **kwargs)


def load_complete(auto_class: Any, *args: Any, **kwargs: Any) -> Any:
    """Load a model by one of Transformers' auto classes.

    Raises:
        CourseError: The stored weights lack some of the model's, which Transformers would make up at random.
    """
    model, info = auto_class.from_pretrained(*args, output_loading_info=True, **kwargs)
    if missing := sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}):
        raise CourseError(
            f"its weights lack {len(missing)} of the model's tensors, such as {missing[0]}, which would be random: "
            "save the whole model with `save_pretrained`"
        )
    return model


def check_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Check that a tokenizer has a vocabulary. Without its files, Transformers makes one of special tokens alone.

    Raises:
        CourseError: No text is left after tokenizing and decoding some.
    """
    ids = tokenizer(_TEXT, add_special_tokens=False).input_ids
    if not tokenizer.decode(ids, skip_special_tokens=True).strip():
        files = " and ".join(sorted({"tokenizer.json", *getattr(tokenizer, "vocab_files_names", {}).values()}))
        raise CourseError(
            f"{folder} has no tokenizer that knows words ({files} would hold it): save the model's tokenizer there "
            "with `tokenizer.save_pretrained`"
        )
