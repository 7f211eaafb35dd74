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
_REVIEW_WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *[
        "this",
        "film",
        "was",
        "good",
        "bad",
        "a",
        "dull",
        "story",
        "and",
        "never",
        "the",
        "end",
        "of",
        "text",
        "<",
        "|",
        ">",
    ],
]

# Folders of the tiny models, where another process has made them: "gpt2", "classifier".
MADE: dict[str, str] = {}


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
    if "gpt2" in MADE:
        return MADE["gpt2"]
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
    if "classifier" in MADE:
        return MADE["classifier"]
    from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(_REVIEW_WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    config = DistilBertConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=64,
        dim=20,
        hidden_dim=36,
        n_layers=1,
        n_heads=2,
        num_labels=2,
    )
    model = DistilBertForSequenceClassification(config)
    fill(model.parameters(), seed=3, scale=0.5)
    folder = _saved(model)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
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
def reused_models() -> Iterator[None]:
    """While it lasts, `load_model` hands out the tiny GPT-2 without booting it anew: booting is most of a check's time.

    Each comes as it was booted, in weights, gradients, hooks and mode; when none is left, another one is booted.
    """
    from rlhf_course.rl import models

    def lend(name: str = "embedded", *args: Any, **kwargs: Any) -> Any:
        if name != gpt2_folder() or args or kwargs:
            return load(name, *args, **kwargs)
        while free:
            if (one := free.pop()).is_whole():
                return one.restored()
            _pool.remove(one)
        _pool.append(PooledModel(load(name)))
        return _pool[-1].bridge

    free = _pool[:]
    load, models.load_model = models.load_model, lend
    try:
        yield
    finally:
        models.load_model = load


class PooledModel:
    """A bridge that is handed out again and again, with what it is reset to."""

    def __init__(self, bridge: Any) -> None:
        self.bridge = bridge
        self._modules = list(nn.Module.modules(bridge))
        self._weights = [(one, one.detach().clone(), one.requires_grad) for one in nn.Module.parameters(bridge)]
        self._parts = self._made_of()

    def _made_of(self) -> list[Any]:
        parameters = [(id(one), one.dtype, one.device) for one in nn.Module.parameters(self.bridge)]
        return parameters + [
            (id(one), sorted(vars(one)), len(one._forward_pre_hooks)) for one in nn.Module.modules(self.bridge)
        ]

    def is_whole(self) -> bool:
        """Whether nobody has exchanged or cast a part of it, which cannot be undone here."""
        return self._made_of() == self._parts

    def restored(self) -> Any:
        for parameter, weights, trainable in self._weights:
            parameter.detach().copy_(weights)
            parameter.requires_grad_(trainable)
            parameter.grad = None
        self.bridge.reset_hooks(including_permanent=True)
        for module in self._modules:
            if module.training:
                module.training = False
        return self.bridge


_pool: list[PooledModel] = []


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
