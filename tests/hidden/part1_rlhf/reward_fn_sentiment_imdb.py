"""Wrong and right answers to `reward_fn_sentiment_imdb`."""

import torch

from rlhf_course import load_classifier
from rlhf_course.building.bank import hidden_mistake, right_answer, visible_mistake


def _logits(texts, masked=True, cleaned=True):
    model, tokenizer = load_classifier()
    texts = [text.replace("<|endoftext|>", " ") for text in texts] if cleaned else texts
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(model.device)
    mask = {"attention_mask": batch["attention_mask"]} if masked else {}
    with torch.no_grad():
        return model(input_ids=batch["input_ids"], **mask).logits


def _column(direction):
    if direction not in ("pos", "neg"):
        raise ValueError(direction)
    return 1 if direction == "pos" else 0


@visible_mistake(refused_with="each has the score that it has alone: padding is masked")
def no_attention_mask(gen_sample, direction="pos"):
    """A text's score depends on the other texts: padding is read as words. Pass the attention mask to the model."""
    column = _column(direction)
    return _logits(gen_sample, masked=False).softmax(-1)[:, column]


@visible_mistake
def classes_swapped(gen_sample, direction="pos"):
    """The classes are swapped: class 0 is negative, class 1 is positive."""
    column = 1 - _column(direction)
    return _logits(gen_sample).softmax(-1)[:, column]


@visible_mistake
def raw_logits(gen_sample, direction="pos"):
    """You return logits; apply a softmax over the two classes to get probabilities."""
    column = _column(direction)
    return _logits(gen_sample)[:, column]


@visible_mistake
def sigmoid(gen_sample, direction="pos"):
    """You take the sigmoid of one logit; the classifier has two, and a softmax over both gives the probability."""
    column = _column(direction)
    return _logits(gen_sample)[:, column].sigmoid()


@visible_mistake
def log_probability(gen_sample, direction="pos"):
    """You return log-probabilities; the reward is the probability."""
    column = _column(direction)
    return _logits(gen_sample).log_softmax(-1)[:, column]


@visible_mistake
def wrong_dimension(gen_sample, direction="pos"):
    """The softmax runs over the texts (dim=0); it runs over the classes, the last dimension."""
    column = _column(direction)
    return _logits(gen_sample).softmax(0)[:, column]


@visible_mistake(refused_with="Another direction than 'pos' and 'neg' should raise a ValueError; a result")
def any_direction(gen_sample, direction="pos"):
    """Any direction other than 'pos' is treated as 'neg'; an unknown one should raise a ValueError."""
    return _logits(gen_sample).softmax(-1)[:, 1 if direction == "pos" else 0]


@visible_mistake(refused_with="it is the probability of class 0")
def direction_ignored(gen_sample, direction="pos"):
    """`direction` has no effect: for 'neg' the reward is the probability of class 0."""
    _column(direction)
    return _logits(gen_sample).softmax(-1)[:, 1]


@visible_mistake(refused_with="it is the probability of class 0")
def minus_positive(gen_sample, direction="pos"):
    """For 'neg' you return minus the positive probability; return the negative class's, which is 1 minus it."""
    sign = 1 if _column(direction) else -1
    return sign * _logits(gen_sample).softmax(-1)[:, 1]


@visible_mistake
def hard_labels(gen_sample, direction="pos"):
    """You return 0 or 1 for the likelier class; return the probability."""
    return (_logits(gen_sample).argmax(-1) == _column(direction)).float()


@visible_mistake(refused_with="the token is removed before the text is classified")
def end_of_text_kept(gen_sample, direction="pos"):
    """'<|endoftext|>' is read as a part of the review: remove it from the texts first."""
    column = _column(direction)
    return _logits(gen_sample, cleaned=False).softmax(-1)[:, column]


@visible_mistake(refused_with="The reward of three texts should have 1 dimension; 2 came")
def both_classes(gen_sample, direction="pos"):
    """You return both classes' probabilities; the reward is one number for each text."""
    _column(direction)
    return _logits(gen_sample).softmax(-1)


@visible_mistake(refused_with="The reward of three texts should be a tensor; a list came")
def plain_list(gen_sample, direction="pos"):
    """You return a Python list; a reward is a float tensor."""
    column = _column(direction)
    return _logits(gen_sample).softmax(-1)[:, column].tolist()


def _probabilities(texts):
    model, tokenizer = load_classifier()
    batch = tokenizer([text.replace("<|endoftext|>", " ") for text in texts], padding=True, return_tensors="pt").to(
        model.device
    )
    with torch.no_grad():
        return model(**batch).logits.softmax(-1)


def _require_direction(direction):
    if direction not in ("pos", "neg"):
        raise ValueError(direction)


@hidden_mistake
def negative_by_default(gen_sample, direction="neg"):
    """The default direction is the other one."""
    _require_direction(direction)
    return _probabilities(gen_sample)[:, int(direction == "pos")]


@hidden_mistake(refused_with="The reward of one text should have 1 dimension; 0 came")
def squeezed(gen_sample, direction="pos"):
    """A batch of one loses its dimension."""
    _require_direction(direction)
    return _probabilities(gen_sample)[:, int(direction == "pos")].squeeze()


@hidden_mistake(refused_with="Another direction than 'pos' and 'neg' should raise a ValueError; it")
def another_error(gen_sample, direction="pos"):
    """An unknown direction raises an exception that is no ValueError."""
    return _probabilities(gen_sample)[:, {"neg": 0, "pos": 1}[direction]]


@hidden_mistake
def margin(gen_sample, direction="pos"):
    """The reward is the difference of the two probabilities."""
    _require_direction(direction)
    probabilities = _probabilities(gen_sample)
    sign = 1 if direction == "pos" else -1
    return sign * (probabilities[:, 1] - probabilities[:, 0])


@hidden_mistake
def mean_of_the_batch(gen_sample, direction="pos"):
    """Every text has the batch's mean probability."""
    _require_direction(direction)
    chosen = _probabilities(gen_sample)[:, int(direction == "pos")]
    return chosen.mean().expand_as(chosen)


@hidden_mistake(refused_with="The reward carries a gradient")
def carries_a_gradient(gen_sample, direction="pos"):
    """The reward carries a gradient to the classifier."""
    _require_direction(direction)
    return _probabilities(gen_sample)[:, int(direction == "pos")].clone().requires_grad_(True)


@hidden_mistake
def out_of_order(gen_sample, direction="pos"):
    """The texts are sorted by length, and so are their scores."""
    _require_direction(direction)
    return _probabilities(sorted(gen_sample, key=len, reverse=True))[:, int(direction == "pos")]


END = "<|endoftext|>"


def _require_known_direction(direction):
    if direction not in {"pos", "neg"}:
        raise ValueError(f"direction must be pos or neg, not {direction}")


@right_answer
@torch.no_grad()
def one_text_at_a_time(gen_sample, direction="pos"):
    _require_known_direction(direction)
    model, tokenizer = load_classifier()
    scores = []
    for text in gen_sample:
        ids = tokenizer(text.replace(END, ""), return_tensors="pt")["input_ids"].to(model.device)
        scores.append(model(ids).logits.softmax(-1)[0, int(direction == "pos")])
    return torch.stack(scores)


@right_answer
@torch.inference_mode()
def everything_passed_on(gen_sample, direction="pos"):
    _require_known_direction(direction)
    model, tokenizer = load_classifier()
    inputs = tokenizer([text.replace(END, "") for text in gen_sample], padding="longest", return_tensors="pt").to(
        model.device
    )
    return torch.softmax(model(**inputs).logits, dim=1)[:, ["neg", "pos"].index(direction)]


@right_answer
def sigmoid_of_the_difference(gen_sample, direction="pos"):
    _require_known_direction(direction)
    model, tokenizer = load_classifier()
    inputs = tokenizer([text.replace(END, " ").strip() for text in gen_sample], padding=True, return_tensors="pt")
    with torch.no_grad():
        negative, positive = model(**inputs.to(model.device)).logits.unbind(-1)
    return (positive - negative if direction == "pos" else negative - positive).sigmoid()


@right_answer
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


@right_answer
@torch.no_grad()
def two_texts_at_a_time(gen_sample, direction="pos"):
    _require_known_direction(direction)
    model, tokenizer = load_classifier()
    scores = torch.zeros(len(gen_sample), device=model.device)
    for start in range(0, len(gen_sample), 2):
        texts = [text.replace(END, "") for text in gen_sample[start : start + 2]]
        inputs = tokenizer(texts, padding=True, return_tensors="pt").to(model.device)
        exponentials = model(inputs.input_ids, inputs.attention_mask).logits.exp()
        chosen = exponentials[:, 1] if direction == "pos" else exponentials[:, 0]
        scores[start : start + 2] = chosen / exponentials.sum(-1)
    return scores
