"""Load text classifiers by name."""

from functools import cache
from pathlib import Path

from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_course.rl.device import pick_device
from rlhf_course.rl.hub import hub_folder

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
        CourseError: The classifier is not in the local cache, and the hub cannot be reached.
    """
    folder = LOCAL_CLASSIFIERS.get(name, Path(name))
    if not folder.is_dir():
        folder = hub_folder(name, f"classifier {name!r}", "the reward 'sentiment-embedded' works without a network")
    model = AutoModelForSequenceClassification.from_pretrained(folder).to(pick_device()).eval()
    return model.requires_grad_(False), AutoTokenizer.from_pretrained(folder)
