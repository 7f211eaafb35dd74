"""Models small enough to be made on the spot: a GPT-2 and a sentiment classifier with fixed random weights.

Their weights come from NumPy's legacy generator, whose numbers are the same everywhere.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn

BOS = "<|endoftext|>"
PROMPT = "This is"
_WORDS = ["This", " is", " a", " film", " good", " bad", ".", "..", " the", " U", " and", " not", " story", " dull"]
VOCABULARY = [BOS, *_WORDS, *(f" w{number}" for number in range(22))]
_REVIEW_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"this film was good bad a dull story and never the end of text < | >".split()]


def fill(parameters: Iterable[nn.Parameter], seed: int, scale: float = 0.3) -> None:
    """Overwrite parameters with fixed random numbers."""
    source = np.random.RandomState(seed)
    with torch.no_grad():
        for parameter in parameters:
            numbers = source.standard_normal(tuple(parameter.shape)) * scale
            parameter.copy_(torch.from_numpy(np.asarray(numbers, dtype=np.float32)))


@cache
def gpt2_folder() -> str:
    """A GPT-2 of two layers and 37 tokens, in Hugging Face format, with dropout in its configuration."""
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(VOCABULARY)}, unk_token=BOS))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+|\.+"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    config = GPT2Config(
        vocab_size=len(VOCABULARY), n_positions=32, n_embd=24, n_layer=2, n_head=3, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config)
    fill(model.parameters(), seed=5)
    folder = _saved(model)
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), BOS)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    return folder


@cache
def classifier_folder() -> str:
    """A DistilBERT of one layer that calls reviews good or bad at random, in Hugging Face format."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(_REVIEW_WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    config = DistilBertConfig(
        vocab_size=len(vocabulary), max_position_embeddings=64, dim=20, hidden_dim=36, n_layers=1, n_heads=2, num_labels=2
    )
    model = DistilBertForSequenceClassification(config)
    fill(model.parameters(), seed=3, scale=0.5)
    folder = _saved(model)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=64
    ).save_pretrained(folder)
    return folder


@contextmanager
def tiny_classifier() -> Iterator[None]:
    """While it lasts, `load_classifier()` gives the tiny classifier."""
    from rlhf_course.rl.classifier import LOCAL_CLASSIFIERS, load_classifier

    name = "lvwerra/distilbert-imdb"
    before = LOCAL_CLASSIFIERS.get(name)
    LOCAL_CLASSIFIERS[name] = Path(classifier_folder())
    load_classifier.cache_clear()
    try:
        yield
    finally:
        del LOCAL_CLASSIFIERS[name]
        if before is not None:
            LOCAL_CLASSIFIERS[name] = before
        load_classifier.cache_clear()


@contextmanager
def on_the_cpu() -> Iterator[None]:
    """While it lasts, models load on the CPU."""
    before = os.environ.get("RLHF_COURSE_DEVICE")
    os.environ["RLHF_COURSE_DEVICE"] = "cpu"
    try:
        yield
    finally:
        del os.environ["RLHF_COURSE_DEVICE"]
        if before is not None:
            os.environ["RLHF_COURSE_DEVICE"] = before


def _saved(model: Any) -> str:
    """A folder that holds a model, and goes when Python ends."""
    from transformers.utils import logging

    folder = tempfile.mkdtemp(prefix="rlhf-course-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder
