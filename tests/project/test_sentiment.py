"""Tests of the sentiment rewards: the classifier of the exercise, and the one that ships with the course."""

import shutil
from pathlib import Path

import pytest
import torch
from part1_rlhf import reward_fn_sentiment_imdb
from transformers import BertTokenizerFast, DistilBertConfig, DistilBertForSequenceClassification

from rlhf_course import load_classifier, named_reward
from rlhf_course.errors import CourseError
from rlhf_course.rl import classifier

REVIEWS = ["this movie was great", "bad", "a bad film and a boring plot , not great at all", "great great great"]


@pytest.fixture(autouse=True)
def tiny_distilbert(tmp_path: Path, monkeypatch):
    """A random classifier in DistilBERT's format, which is loaded by the name of the real one."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *{word: 0 for text in REVIEWS for word in text.split()}]
    pieces = [*"<|>endoftx", *(f"##{letter}" for letter in "endoftx")]
    (tmp_path / "vocab.txt").write_text("\n".join(dict.fromkeys([*words, *pieces])))
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"), model_max_length=40).save_pretrained(tmp_path)
    torch.manual_seed(3)
    config = DistilBertConfig(vocab_size=64, dim=20, n_layers=2, n_heads=4, hidden_dim=33, max_position_embeddings=40)
    config.initializer_range = 0.3
    model = DistilBertForSequenceClassification(config)
    model.save_pretrained(tmp_path)
    monkeypatch.setitem(classifier.LOCAL_CLASSIFIERS, "lvwerra/distilbert-imdb", tmp_path)
    load_classifier.cache_clear()
    yield model.eval()
    load_classifier.cache_clear()


def one_by_one(model, texts: list[str]) -> list[float]:
    """Return the probability of class 1 for each text, without padding or batching."""
    _, tokenizer = load_classifier()
    with torch.no_grad():
        return [model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0, 1].item() for text in texts]


def test_the_reward_is_the_probability_of_the_class_whatever_text_it_is_batched_with(tiny_distilbert):
    expected = one_by_one(tiny_distilbert, REVIEWS)
    assert max(expected) - min(expected) > 0.05
    positive, negative = (reward_fn_sentiment_imdb(REVIEWS, direction) for direction in ("pos", "neg"))
    assert positive.tolist() == pytest.approx(expected, abs=1e-5)
    assert torch.allclose(positive + negative, torch.ones(4), atol=1e-5)
    assert torch.equal(reward_fn_sentiment_imdb(REVIEWS), positive)
    assert not positive.requires_grad


def test_the_classifier_does_not_see_the_end_of_text_token():
    with_token = reward_fn_sentiment_imdb(["<|endoftext|>" + REVIEWS[0], REVIEWS[0] + "<|endoftext|>"])
    assert torch.allclose(with_token, reward_fn_sentiment_imdb([REVIEWS[0]] * 2), atol=1e-6)


def test_a_text_longer_than_the_classifier_reads_is_cut():
    assert reward_fn_sentiment_imdb(["great " * 500]).isfinite().all()


def test_another_direction_is_refused():
    with pytest.raises(ValueError, match="direction takes 'pos' or 'neg', got 'up'"):
        reward_fn_sentiment_imdb(REVIEWS, "up")


def test_the_named_reward_passes_its_direction_on():
    assert torch.equal(named_reward("sentiment-imdb", "neg")(REVIEWS), reward_fn_sentiment_imdb(REVIEWS, "neg"))


def test_a_classifier_without_a_network_is_refused_with_the_embedded_one_named(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.delitem(classifier.LOCAL_CLASSIFIERS, "lvwerra/distilbert-imdb")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CourseError, match="the reward 'sentiment-embedded' works without a network"):
        load_classifier()


@pytest.mark.parametrize("missing", ["tokenizer", "head"])
def test_a_classifier_that_lacks_its_tokenizer_or_its_head_is_refused(tmp_path, missing):
    from transformers import AutoModel

    folder = shutil.copytree(tmp_path, tmp_path / "copy")
    if missing == "head":  # Transformers would make a random one
        AutoModel.from_pretrained(folder).save_pretrained(folder)
    else:
        for file in [*folder.glob("tokenizer*"), folder / "vocab.txt"]:
            file.unlink()
    message = {"head": r"its weights lack 4 .* tensors, such as classifier\.bias", "tokenizer": "has no tokenizer"}
    with pytest.raises(CourseError, match=rf"classifier '{folder}' does not load: .*{message[missing]}"):
        load_classifier(str(folder))


# The embedded stand-in

POSITIVE = [
    "This movie was really wonderful, a beautiful story with superb acting.",
    "I loved every minute of it. The cast is excellent and the ending is perfect.",
    "One of the best films of the year: funny, touching and brilliantly shot.",
]
NEGATIVE = [
    "This movie was really terrible, a boring story with awful acting.",
    "I hated every minute of it. The cast is bad and the ending is a waste of time.",
    "One of the worst films of the year: dull, stupid and poorly shot.",
]


def test_the_embedded_sentiment_tells_praise_from_blame():
    praise, blame = (named_reward("sentiment-embedded")(texts) for texts in (POSITIVE, NEGATIVE))
    assert praise.dtype == torch.float32 and praise.shape == (3,)
    assert praise.min() > 0.6 and blame.max() < 0.4
    assert torch.allclose(named_reward("sentiment-embedded", "neg")(POSITIVE), 1 - praise)


def test_the_embedded_sentiment_reads_each_text_alone_and_no_end_of_text_token():
    reward = named_reward("sentiment-embedded")
    together = reward([*POSITIVE, *NEGATIVE, ""])
    assert ((together >= 0) & (together <= 1)).all()
    for text, score in zip(POSITIVE + NEGATIVE, together, strict=False):
        assert reward([f"<|endoftext|>{text}"]).item() == pytest.approx(score.item(), abs=1e-6)


def test_special_tokens_of_other_models_are_kept_from_both_classifiers(monkeypatch):
    from rlhf_course.rl import special_tokens

    monkeypatch.setattr(special_tokens, "_SPECIAL_TOKENS", {"<|endoftext|>"})
    special_tokens.register_special_tokens(["<s>", "</s>", "[PAD]"])
    plain, marked = "This was dull", "<s>This was dull</s>[PAD][PAD]"
    assert named_reward("sentiment-embedded")([plain]) == named_reward("sentiment-embedded")([marked])
    seen = []
    monkeypatch.setattr(
        "rlhf_course.rl.rewards.imported_answer", lambda name: lambda texts, direction: seen.extend(texts)
    )
    named_reward("sentiment-imdb")([marked + "<|endoftext|>"])
    assert seen[0].split() == ["This", "was", "dull", "<|endoftext|>"]


def test_the_special_tokens_of_a_model_are_known_once_it_is_loaded(tiny_folder, monkeypatch):
    from rlhf_course import load_model
    from rlhf_course.rl import special_tokens

    monkeypatch.setattr(special_tokens, "_SPECIAL_TOKENS", set())
    load_model(str(tiny_folder))
    assert {"<|endoftext|>"} == special_tokens._SPECIAL_TOKENS
