"""Load text classifiers by name."""

from functools import cache
from pathlib import Path

from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_course.errors import CourseError
from rlhf_course.rl.device import pick_device
from rlhf_course.rl.hub import hub_folder
from rlhf_course.rl.pretrained import check_tokenizer, load_complete

# Names whose classifier is loaded from a local folder instead of the hub. The self-checks and the sandboxes add
# entries.
LOCAL_CLASSIFIERS: dict[str, Path] = {}


@cache
def load_classifier(name: str = "lvwerra/distilbert-imdb") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a text classifier and its tokenizer; each name is loaded once.

    Args:
        name: A Hugging Face id, or a local folder.

    Returns:
        The model in eval mode and without gradients, and the tokenizer. Class 0 is negative, class 1 is positive.

    Raises:
        CourseError: The classifier is not in the local cache, and the hub cannot be reached; or it lacks weights or a
            tokenizer.
    """
    folder = LOCAL_CLASSIFIERS.get(name, Path(name))
    if not folder.is_dir():
        folder = hub_folder(name, f"classifier {name!r}", "the reward 'sentiment-embedded' works without a network")
    try:
        model = load_complete(AutoModelForSequenceClassification, folder).to(pick_device()).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        check_tokenizer(tokenizer, folder, getattr(model.config, "vocab_size", None))
    except (OSError, ValueError, KeyError) as error:  # a CourseError is a ValueError
        raise CourseError(f"classifier {name!r} does not load: {error}") from error
    return model.requires_grad_(False), tokenizer
