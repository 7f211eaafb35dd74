"""Right answers to `reward_fn_sentiment_imdb`, in other words than the reference's."""

import torch

from rlhf_course import load_classifier

END = "<|endoftext|>"


def _refuse(direction):
    if direction not in {"pos", "neg"}:
        raise ValueError(f"direction must be pos or neg, not {direction}")


@torch.no_grad()
def one_text_at_a_time(gen_sample, direction="pos"):
    _refuse(direction)
    model, tokenizer = load_classifier()
    scores = []
    for text in gen_sample:
        ids = tokenizer(text.replace(END, ""), return_tensors="pt")["input_ids"].to(model.device)
        scores.append(model(ids).logits.softmax(-1)[0, int(direction == "pos")])
    return torch.stack(scores)


@torch.inference_mode()
def everything_passed_on(gen_sample, direction="pos"):
    _refuse(direction)
    model, tokenizer = load_classifier()
    inputs = tokenizer([text.replace(END, "") for text in gen_sample], padding="longest", return_tensors="pt").to(
        model.device
    )
    return torch.softmax(model(**inputs).logits, dim=1)[:, ["neg", "pos"].index(direction)]


def sigmoid_of_the_difference(gen_sample, direction="pos"):
    _refuse(direction)
    model, tokenizer = load_classifier()
    inputs = tokenizer([text.replace(END, " ").strip() for text in gen_sample], padding=True, return_tensors="pt")
    with torch.no_grad():
        negative, positive = model(**inputs.to(model.device)).logits.unbind(-1)
    return (positive - negative if direction == "pos" else negative - positive).sigmoid()


def complement(gen_sample, direction="pos"):
    sign = {"pos": 1, "neg": -1}.get(direction)
    if sign is None:
        raise ValueError(direction)
    model, tokenizer = load_classifier()
    inputs = tokenizer(
        [" ".join(text.split(END)) for text in gen_sample], padding="max_length", max_length=40, return_tensors="pt"
    )
    positive = model(**inputs.to(model.device)).logits.softmax(-1)[:, 1].detach()
    return positive if sign == 1 else 1 - positive


@torch.no_grad()
def two_texts_at_a_time(gen_sample, direction="pos"):
    _refuse(direction)
    model, tokenizer = load_classifier()
    scores = torch.zeros(len(gen_sample), device=model.device)
    for start in range(0, len(gen_sample), 2):
        texts = [text.replace(END, "") for text in gen_sample[start : start + 2]]
        inputs = tokenizer(texts, padding=True, return_tensors="pt").to(model.device)
        exponentials = model(inputs.input_ids, inputs.attention_mask).logits.exp()
        chosen = exponentials[:, 1] if direction == "pos" else exponentials[:, 0]
        scores[start : start + 2] = chosen / exponentials.sum(-1)
    return scores
