"""Train the byte-level BPE tokenizer into WORK/tokenizer/, with one special token, <|endoftext|>."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from recipes.data import read_corpus

END = "<|endoftext|>"
VOCAB = 3072
SAMPLE = 12_000_000  # number of characters, divided among the sources by their share


def sample(work: Path) -> Iterator[str]:
    """Yield training texts in the proportions in which the model is trained on them."""
    for source in read_corpus(work):
        budget = source.share * SAMPLE
        for text in source.texts:
            if budget <= 0:
                break
            budget -= len(text)
            yield text


def train_tokenizer(texts: Iterator[str], folder: Path) -> None:
    """Train on the texts, and save a folder for `AutoTokenizer`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=[END], initial_alphabet=sorted(alphabet), min_frequency=2, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(folder)


def main() -> None:
    """Train the tokenizer on the corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    work = parser.parse_args().work
    train_tokenizer(sample(work), work / "tokenizer")


if __name__ == "__main__":
    main()
