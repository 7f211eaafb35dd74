"""What the tests share: the reference answers in use, and a language model small enough to be made on the spot."""

import signal
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from rlhf_course import RLHFArgs, load_model, use_code

TEXTS = ["This is a test. There is another one... Mr. Smith went to the U.S. in 1999.", "This movie was really good."]
VOCABULARY = 307

use_code()  # for test modules that import answers at their top


@pytest.fixture(autouse=True)
def _reference_answers_in_use() -> None:
    use_code()


@pytest.fixture(autouse=True, scope="session")
def _interrupts_as_in_a_terminal() -> None:
    """The worker processes of pytest-xdist ignore SIGINT, which the tests and the programs that they start need."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _quiet_and_offline(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs that name no folder land in a temporary one, and nothing asks a hub unless a test wants it to."""
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("cwd"))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of 30 thousand random parameters in Hugging Face format, with dropout in its configuration."""
    folder = tmp_path_factory.mktemp("tiny")
    special = "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[special], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS * 10, trainer)
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), special)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_layer=2, n_embd=24, n_head=3, n_positions=64, bos_token_id=0, eos_token_id=0
    )
    assert config.attn_pdrop > 0, "the loader has dropout to take away"
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bridge(tiny_folder: Path):
    """The tiny model, loaded once; tests leave it as it was."""
    return load_model(str(tiny_folder))


@pytest.fixture
def small_args(tiny_folder: Path):
    """Makes settings of a run that takes a second."""

    def make(**overrides) -> RLHFArgs:
        settings = {
            "base_model": str(tiny_folder),
            "total_phases": 3,
            "warmup_steps": 0,
            "batch_size": 12,
            "num_minibatches": 3,
            "gen_len": 7,
            "base_lr": 1e-3,
            "reward_fn": lambda texts: torch.tensor([float(len(text)) for text in texts]),
        }
        return RLHFArgs(**{**settings, **overrides})

    return make
