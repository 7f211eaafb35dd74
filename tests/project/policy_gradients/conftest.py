"""A language model for tests of part 3 whose tokenizer has a token for each digit."""

from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from rlhf_course import load_model

VOCABULARY = ["<s>", "</s>", *"0123456789", "=", "?"]


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 with random weights, in Hugging Face format; its end-of-text token is `</s>`, and `<s>` begins a text."""
    folder = tmp_path_factory.mktemp("digits")
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(3)
    size = {"vocab_size": len(VOCABULARY), "n_layer": 2, "n_embd": 24, "n_head": 3, "n_positions": 32}
    GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=1)).save_pretrained(folder)
    return folder


@pytest.fixture
def digits_model(digits_folder: Path):
    """The model, whose logits are far apart, so that padding cannot exchange the likeliest tokens by rounding."""
    model = load_model(str(digits_folder))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


@pytest.fixture
def settings(digits_folder: Path) -> dict[str, object]:
    """Settings of a run that takes a second."""
    return {
        "base_model": str(digits_folder),
        "total_phases": 4,
        "demonstrations": 24,
        "batch_size": 8,
        "warmup_steps": 1,
        "prompts": 3,
        "group_size": 4,
        "max_new_tokens": 6,
        "held_out": 6,
        "evaluation_interval": 2,
    }
