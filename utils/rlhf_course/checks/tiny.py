"""Tiny models for checks and tests: a GPT-2 and a sentiment classifier with fixed random weights.

The weights come from NumPy's legacy generator, whose numbers are the same on every machine.
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
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import nn

BOS = "<|endoftext|>"
PROMPT = "This is"
_WORDS = ["This", " is", " a", " film", " good", " bad", ".", "..", " the", " U", " and", " not", " story", " dull"]
VOCABULARY = [BOS, *_WORDS, *(f" w{number}" for number in range(22))]
_REVIEW_WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "this", "film", "was", "good", "bad", "a", "dull", "story", "and", "never"),
    *("the", "end", "of", "text", "<", "|", ">"),
]


@cache
def premade_folders() -> dict[str, str]:
    """Return this process's register of tiny models that another process has saved: "gpt2", "classifier" to a folder.

    A process that must not save models itself, such as the zygote, fills it before it first asks for one.
    """
    return {}


def fill(parameters: Iterable[nn.Parameter], seed: int, scale: float = 0.3) -> None:
    """Overwrite parameters with normal random numbers that depend on the seed alone."""
    generator = np.random.RandomState(seed)
    with torch.no_grad():
        for parameter in parameters:
            numbers = generator.standard_normal(tuple(parameter.shape)) * scale
            parameter.copy_(torch.from_numpy(np.asarray(numbers, dtype=np.float32)))


@cache
def gpt2_folder() -> str:
    """Save a GPT-2 of two layers and 37 tokens, with dropout in its configuration.

    Returns:
        The folder, in Hugging Face format.
    """
    if folder := premade_folders().get("gpt2"):
        return folder
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token=BOS))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+|\.+"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    config = GPT2Config(
        vocab_size=len(VOCABULARY), n_positions=32, n_embd=24, n_layer=2, n_head=3, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config)
    fill(model.parameters(), seed=5)
    folder = _save(model)
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), BOS)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    return folder


@cache
def classifier_folder() -> str:
    """Save a DistilBERT of one layer that classifies reviews at random.

    Returns:
        The folder, in Hugging Face format.
    """
    if folder := premade_folders().get("classifier"):
        return folder
    from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(_REVIEW_WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    # Like the real classifier's tokenizer, it does not distinguish capitals, and each punctuation mark is a token.
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    config = DistilBertConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=512,
        dim=20,
        hidden_dim=36,
        n_layers=1,
        n_heads=2,
    )
    model = DistilBertForSequenceClassification(config)
    fill(model.parameters(), seed=3, scale=0.5)
    folder = _save(model)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=512,
    ).save_pretrained(folder)
    return folder


@contextmanager
def tiny_classifier() -> Iterator[None]:
    """Make `load_classifier()` return the tiny classifier inside the `with` block."""
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


class PooledModel:
    """A loaded model that several checks use one after the other, with the state that it is reset to.

    Args:
        bridge: The model, as `load_model` returned it.
    """

    def __init__(self, bridge: Any) -> None:
        self.bridge = bridge
        # On its first pass with a padded text, the bridge stores whether it counts positions by itself.
        with torch.no_grad():
            bridge(torch.zeros(1, 2, dtype=torch.long), attention_mask=torch.tensor([[False, True]]))
        # A bridge does not list all modules of the model that it wraps, but sets the mode of them, too.
        self._modules = list(dict.fromkeys([*nn.Module.modules(bridge), *bridge.original_model.modules()]))
        self._weights = [
            (parameter, parameter.detach().clone(), parameter.requires_grad)
            for parameter in nn.Module.parameters(bridge)
        ]
        self._module_hooks = [
            (hooks, set(hooks)) for module in self._modules for hooks in (module._forward_hooks, module._backward_hooks)
        ]
        self._structures = [_structure(module) for module in self._modules]

    def is_intact(self) -> bool:
        """Return whether no module or parameter was exchanged or cast, which `reset` could not undo."""
        return all(
            _structure(module) == structure for module, structure in zip(self._modules, self._structures, strict=True)
        )

    def reset(self) -> Any:
        """Restore weights, gradients, hooks and mode, and return the model."""
        for parameter, weights, trainable in self._weights:
            parameter.detach().copy_(weights)
            parameter.requires_grad_(trainable)
            parameter.grad = None
            for hooks in (parameter._backward_hooks, parameter._post_accumulate_grad_hooks):
                if hooks:
                    hooks.clear()
        for point in self.bridge.hook_points():
            if point.fwd_hooks or point.bwd_hooks or point.ctx:
                point.remove_hooks("both", including_permanent=True)
                point.clear_context()
        for hooks, own in self._module_hooks:
            for key in set(hooks) - own:
                del hooks[key]
        for module in self._modules:
            if module.training:
                module.training = False
        return self.bridge


def _structure(module: nn.Module) -> list[Any]:
    """Return what a module holds: the names of its attributes, its modules and parameters, and a number of hooks."""
    parameters = [parameter for parameter in module._parameters.values() if parameter is not None]
    return [
        set(vars(module)),
        [id(child) for child in module._modules.values()],
        [(id(parameter), parameter.dtype, parameter.device) for parameter in parameters],
        len(module._forward_pre_hooks),
    ]


@cache
def model_pool() -> list[PooledModel]:
    """Return this process's pool of loaded tiny GPT-2 models; a forked process inherits it."""
    return []


@contextmanager
def reused_models() -> Iterator[None]:
    """Make `load_model` return pooled tiny GPT-2 models inside the `with` block: loading is most of a check's time.

    Each model has the weights, gradients, hooks and mode that it was loaded with. If the pool has no free model left,
    another one is loaded.
    """
    from rlhf_course.rl import models

    pool = model_pool()
    free = pool[:]
    before = models.load_model
    # Inside another such block, no model may come into the pool a second time.
    load_model = vars(before).get("load_model", before)

    def load_pooled(name: str = "embedded", *args: Any, **kwargs: Any) -> Any:
        if name != gpt2_folder() or args or kwargs:
            return load_model(name, *args, **kwargs)
        while free:
            pooled = free.pop()
            if pooled.is_intact():
                return pooled.reset()
            pool.remove(pooled)
        pool.append(PooledModel(load_model(name)))
        return pool[-1].bridge

    vars(load_pooled)["load_model"] = load_model
    models.load_model = load_pooled
    try:
        yield
    finally:
        models.load_model = before


@contextmanager
def on_the_cpu() -> Iterator[None]:
    """Load models on the CPU inside the `with` block."""
    before = os.environ.get("RLHF_COURSE_DEVICE")
    os.environ["RLHF_COURSE_DEVICE"] = "cpu"
    try:
        yield
    finally:
        del os.environ["RLHF_COURSE_DEVICE"]
        if before is not None:
            os.environ["RLHF_COURSE_DEVICE"] = before


def _save(model: Any) -> str:
    """Save a model to a temporary folder, which is deleted when Python exits."""
    from transformers.utils import logging

    folder = tempfile.mkdtemp(prefix="rlhf-course-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder
