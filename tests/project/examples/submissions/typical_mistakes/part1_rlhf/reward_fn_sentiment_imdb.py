"""A reward that reads: how positive a review sounds to a classifier."""

import torch
from rlhf_course import load_classifier


def reward_fn_sentiment_imdb(gen_sample, direction="pos"):
    model, tokenizer = load_classifier()
    tokens = tokenizer(gen_sample, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(tokens["input_ids"]).logits
    return logits.softmax(-1)[:, 1 if direction == "pos" else 0]
