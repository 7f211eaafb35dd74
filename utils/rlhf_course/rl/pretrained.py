"""Refuse pretrained folders whose weights or tokenizer do not hold what they need, and code that they bring along."""

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
    """Load a model by one of Transformers' auto classes, which ask for no permission to run the folder's own code.

    Raises:
        CourseError: The stored weights lack some of the model's, which Transformers would make up at random.
    """
    model, info = auto_class.from_pretrained(*args, output_loading_info=True, trust_remote_code=False, **kwargs)
    if missing := sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}):
        raise CourseError(
            f"its weights lack {len(missing)} of the model's tensors, such as {missing[0]}, which would be random: "
            "save the whole model with `save_pretrained`"
        )
    return model


def check_tokenizer(tokenizer: Any, folder: Path, d_vocab: int | None) -> None:
    """Check that a tokenizer has a vocabulary. Without its files, Transformers makes one of special tokens alone.

    Args:
        tokenizer: The tokenizer.
        folder: The folder that it was loaded from.
        d_vocab: The number of tokens that the model embeds; None where its configuration does not tell.

    Raises:
        CourseError: No text is left after tokenizing and decoding some, or the model does not embed each token.
    """
    ids = tokenizer(_TEXT, add_special_tokens=False).input_ids
    if not tokenizer.decode(ids, skip_special_tokens=True).strip():
        files = " and ".join(sorted({"tokenizer.json", *getattr(tokenizer, "vocab_files_names", {}).values()}))
        raise CourseError(
            f"{folder} has no tokenizer that knows words ({files} would hold it): save the model's tokenizer there "
            "with `tokenizer.save_pretrained`"
        )
    highest = max(tokenizer.get_vocab().values())
    if d_vocab is not None and highest >= d_vocab:
        raise CourseError(
            f"the tokenizer in {folder} has token ids up to {highest}, and the model takes ids below {d_vocab}: save "
            "the tokenizer that the model was trained with, or the model after `resize_token_embeddings`"
        )
