"""A reward that reads: how positive a review sounds to a classifier."""

import torch
from rlhf_course import load_classifier

CLASSES = ["neg", "pos"]


@torch.no_grad()
def reward_fn_sentiment_imdb(gen_sample, direction="pos"):
    if direction not in CLASSES:
        raise ValueError(f"direction must be one of {CLASSES}, not {direction!r}")
    model, tokenizer = load_classifier()
    cleaned = [text.replace("<|endoftext|>", "") for text in gen_sample]
    inputs = tokenizer(cleaned, padding=True, truncation=True, return_tensors="pt").to(model.device)
    probs = torch.softmax(model(**inputs).logits, dim=-1)
    return probs[:, CLASSES.index(direction)]
