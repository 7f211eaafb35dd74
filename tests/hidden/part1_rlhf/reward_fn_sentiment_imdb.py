"""Wrong and right answers to `reward_fn_sentiment_imdb`."""

import re
import string

import torch
from transformers import pipeline

from rlhf_course import load_classifier
from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


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


@visible_mistake(refused_with="each text has the score that it has alone: padding is masked")
def no_attention_mask(gen_sample, direction="pos"):
    """A text's score depends on the other texts: padding is read as words. Pass the attention mask to the model."""
    column = _column(direction)
    return _logits(gen_sample, masked=False).softmax(-1)[:, column]


@visible_mistake(refused_with="is 1 minus what it should be")
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


@visible_mistake(refused_with="in the negative direction is 1 minus what it should be")
def direction_ignored(gen_sample, direction="pos"):
    """`direction` has no effect: for 'neg' the reward is the probability of class 0."""
    _column(direction)
    return _logits(gen_sample).softmax(-1)[:, 1]


@visible_mistake(refused_with="The reward in the negative direction is too small throughout, by one amount")
def minus_positive(gen_sample, direction="pos"):
    """For 'neg' you return minus the positive probability; return the negative class's, which is 1 minus it."""
    sign = 1 if _column(direction) else -1
    return sign * _logits(gen_sample).softmax(-1)[:, 1]


@visible_mistake
def hard_labels(gen_sample, direction="pos"):
    """You return 0 or 1 for the likelier class; return the probability."""
    return (_logits(gen_sample).argmax(-1) == _column(direction)).float()


@visible_mistake(refused_with="the token is taken out wherever it stands")
def end_of_text_kept(gen_sample, direction="pos"):
    """'<|endoftext|>' is read as a part of the review: remove it from the texts first."""
    column = _column(direction)
    return _logits(gen_sample, cleaned=False).softmax(-1)[:, column]


@visible_mistake(refused_with="should have 1 dimension; 2 came")
def both_classes(gen_sample, direction="pos"):
    """You return both classes' probabilities; the reward is one number for each text."""
    _column(direction)
    return _logits(gen_sample).softmax(-1)


@visible_mistake(refused_with="should be a tensor; a list came")
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


@hidden_mistake(refused_with="The reward for one text should have 1 dimension; 0 came")
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


def _chosen(texts, direction, **options):
    """Return the probability of a direction's class, with other settings of the tokenizer."""
    _require_direction(direction)
    model, tokenizer = load_classifier()
    texts = [text.replace("<|endoftext|>", " ") for text in texts]
    batch = tokenizer(texts, padding=True, return_tensors="pt", **options)
    with torch.no_grad():
        logits = model(batch["input_ids"], batch["attention_mask"]).logits
    return logits.softmax(-1)[:, int(direction == "pos")]


@visible_mistake(refused_with="for texts of over 400 words")
def first_tokens_only(gen_sample, direction="pos"):
    """Reviews are cut after 32 tokens: the classifier reads longer ones."""
    return _chosen(gen_sample, direction, truncation=True, max_length=32)


@hidden_mistake(refused_with="for texts of over 400 words")
def first_characters_only(gen_sample, direction="pos"):
    """Reviews are cut after 128 characters."""
    return _chosen([text[:128] for text in gen_sample], direction)


@hidden_mistake(refused_with="The reward for texts of which some are empty or blank")
def blank_texts_skipped(gen_sample, direction="pos"):
    """Blank texts have no reward."""
    return _chosen([text for text in gen_sample if text.strip()] or [""], direction)


@hidden_mistake(refused_with="The reward for texts of which some are empty or blank")
def blank_texts_are_neutral(gen_sample, direction="pos"):
    """Blank texts have the reward 0.5, and not the classifier's."""
    blank = torch.tensor([not text.strip() for text in gen_sample])
    return _chosen(gen_sample, direction).masked_fill(blank, 0.5)


@visible_mistake(refused_with="equal")
def equal_texts_once(gen_sample, direction="pos"):
    """Equal texts have one reward together; each text has a reward of its own."""
    return _chosen(list(dict.fromkeys(gen_sample)), direction)


@hidden_mistake(refused_with="The reward for texts that hold special tokens, written out")
def lower_cased(gen_sample, direction="pos"):
    """Texts are changed to lower case, and with them the special tokens in them."""
    return _chosen([text.lower() for text in gen_sample], direction)


@hidden_mistake(refused_with="the classifier reads each text whole and unchanged")
def punctuation_removed(gen_sample, direction="pos"):
    """Punctuation is removed from the texts."""
    marks = str.maketrans("", "", string.punctuation)
    return _chosen([text.replace("<|endoftext|>", " ").translate(marks) for text in gen_sample], direction)


@hidden_mistake(refused_with="for texts with curly quotes, ellipsis characters and letters of many alphabets")
def plain_letters_only(gen_sample, direction="pos"):
    """Characters beyond ASCII are dropped."""
    return _chosen([text.encode("ascii", "ignore").decode() for text in gen_sample], direction)


@visible_mistake(refused_with="The reward for texts of several lines")
def first_line_only(gen_sample, direction="pos"):
    """Only the first line of a text is read: a text may have several."""
    return _chosen([text.partition("\n")[0] for text in gen_sample], direction)


@hidden_mistake(refused_with="The reward for texts with the end-of-text token")
def end_of_text_at_the_start_only(gen_sample, direction="pos"):
    """The end-of-text token is removed at the beginning of a text alone."""
    _require_direction(direction)
    texts = [text.removeprefix("<|endoftext|>") for text in gen_sample]
    return _logits(texts, cleaned=False).softmax(-1)[:, int(direction == "pos")]


@hidden_mistake(refused_with="The reward for texts with the end-of-text token")
def first_document_only(gen_sample, direction="pos"):
    """The text is cut where the end-of-text token occurs again."""
    texts = [text.removeprefix("<|endoftext|>").partition("<|endoftext|>")[0] for text in gen_sample]
    return _chosen(texts, direction)


@hidden_mistake(refused_with="The reward for texts with the end-of-text token")
def letters_of_the_end_stripped(gen_sample, direction="pos"):
    """`strip` removes all letters of the end-of-text token at both ends of a text."""
    return _chosen([text.strip("<|endoftx>") for text in gen_sample], direction)


@visible_mistake(refused_with="Another direction than 'pos' and 'neg' should raise a ValueError; a result")
def part_of_a_direction(gen_sample, direction="pos"):
    """A part of a direction's name, such as "po" or "", is taken for a direction; only 'pos' and 'neg' are."""
    if direction not in "pos, neg":
        raise ValueError(direction)
    return _chosen(gen_sample, "pos" if direction.startswith("p") else "neg")


@hidden_mistake(refused_with="Another direction than 'pos' and 'neg' should raise a ValueError; a result")
def direction_in_any_case(gen_sample, direction="pos"):
    """Directions in capitals or with blanks around them are accepted."""
    return _chosen(gen_sample, direction.strip().lower())


@hidden_mistake(refused_with="is 1 minus what it should be")
def stored_by_text(gen_sample, direction="pos", stored={}):  # noqa: B006
    """A text's reward is stored when it is first computed, and returned for the other direction, too."""
    fresh = _chosen(gen_sample, direction)
    return torch.stack([stored.setdefault(text, score) for text, score in zip(gen_sample, fresh, strict=True)])


@hidden_mistake(refused_with="for texts of very different lengths")
def padded_on_the_left(gen_sample, direction="pos"):
    """Padding on the left moves a text to other positions, and the classifier reads its first position."""
    return _chosen(gen_sample, direction, padding_side="left")


@hidden_mistake
def without_special_tokens(gen_sample, direction="pos"):
    """The tokenizer adds no [CLS] and [SEP], with which the classifier was trained."""
    return _chosen([text if text.split() else "." for text in gen_sample], direction, add_special_tokens=False)


@hidden_mistake(refused_with="is right, but rounded to half precision")
def half_precision(gen_sample, direction="pos"):
    """Probabilities are rounded to half precision."""
    return _chosen(gen_sample, direction).half()


@hidden_mistake
def rounded(gen_sample, direction="pos"):
    """Probabilities are rounded to two decimals."""
    return _chosen(gen_sample, direction).round(decimals=2)


@hidden_mistake
def temperature_of_two(gen_sample, direction="pos"):
    """Logits are divided by 2 before the softmax."""
    _require_direction(direction)
    return (_logits(gen_sample) / 2).softmax(-1)[:, int(direction == "pos")]


@hidden_mistake(refused_with="The reward for many texts")
def first_texts_only(gen_sample, direction="pos"):
    """Only the first 64 texts of a batch are classified."""
    scores = torch.full((len(gen_sample),), 0.5)
    scores[:64] = _chosen(gen_sample[:64], direction)
    return scores


@visible_mistake(refused_with="The list of texts was changed")
def cleans_the_list(gen_sample, direction="pos"):
    """The end-of-text token is removed in the caller's list: make a new list."""
    for index, text in enumerate(gen_sample):
        gen_sample[index] = text.replace("<|endoftext|>", " ")
    return _chosen(gen_sample, direction)


@hidden_mistake
def normalised_over_the_batch(gen_sample, direction="pos"):
    """Rewards are normalised over the batch."""
    scores = _chosen(gen_sample, direction)
    return (scores - scores.mean()) / (scores.std(correction=0) + 1e-5)


@hidden_mistake(refused_with="The reward for texts of over 400 words")
def first_384_tokens_only(gen_sample, direction="pos"):
    """Texts are cut after 384 tokens: the classifier reads 512."""
    return _chosen(gen_sample, direction, truncation=True, max_length=384)


@hidden_mistake(refused_with="The reward for texts of over 400 words")
def first_128_tokens_only(gen_sample, direction="pos"):
    """Texts are cut after 128 tokens: the classifier reads 512."""
    return _chosen(gen_sample, direction, truncation=True, max_length=128)


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
        [" ".join(text.split(END)) for text in gen_sample], padding="max_length", max_length=64, return_tensors="pt"
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


class _UnknownDirection(ValueError):
    """A direction that is neither "pos" nor "neg"."""


@right_answer
def in_chunks(gen_sample, direction="pos"):
    try:
        column = {"neg": 0, "pos": 1}[direction]
    except KeyError:
        raise _UnknownDirection(direction) from None
    model, tokenizer = load_classifier()
    scores = []
    for start in range(0, len(gen_sample), 32):
        chunk = [re.sub(r"<\|endoftext\|>", " ", text) for text in gen_sample[start : start + 32]]
        with torch.inference_mode():
            logits = model(**tokenizer(chunk, padding=True, truncation=True, return_tensors="pt")).logits
        scores += logits.softmax(1)[:, column].tolist()
        print(len(scores), "of", len(gen_sample))
    return torch.tensor(scores)


@right_answer
def sorted_and_put_back(gen_sample, direction="pos"):
    _require_known_direction(direction)
    order = sorted(range(len(gen_sample)), key=lambda index: len(gen_sample[index]))
    model, tokenizer = load_classifier()
    scores = torch.empty(len(gen_sample), dtype=torch.float32)
    for start in range(0, len(order), 8):
        chosen = order[start : start + 8]
        inputs = tokenizer([gen_sample[index].replace(END, "") for index in chosen], padding=True, return_tensors="pt")
        with torch.no_grad():
            scores[chosen] = model(**inputs).logits.softmax(-1)[:, 0 if direction == "neg" else 1]
    return scores


@right_answer
def with_a_pipeline(gen_sample, direction="pos"):
    _require_known_direction(direction)
    model, tokenizer = load_classifier()
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    label = model.config.id2label[1 if direction == "pos" else 0]
    outputs = classify([text.replace(END, " ") for text in gen_sample], top_k=None, batch_size=4)
    return torch.tensor([next(entry["score"] for entry in output if entry["label"] == label) for output in outputs])


def _checks_direction(function):
    def wrapper(gen_sample, direction="pos"):
        if direction != "pos" and direction != "neg":
            raise ValueError(f"unknown direction {direction}")
        return function(gen_sample, direction)

    return wrapper


@right_answer
@_checks_direction
def decorated(gen_sample, direction="pos"):
    model, tokenizer = load_classifier()
    texts = [text.replace(END, " ") for text in dict.fromkeys(gen_sample)]
    encoded = [tokenizer(text).input_ids for text in texts]
    ids = torch.zeros(len(encoded), max(map(len, encoded)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(encoded):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    with torch.no_grad():
        both = model(input_ids=ids, attention_mask=mask).logits.double().softmax(-1)
    by_text = dict(zip(dict.fromkeys(gen_sample), both[:, int(direction == "pos")], strict=True))
    return torch.stack([by_text[text] for text in gen_sample])


@right_answer
def without_special_tokens_in_the_text(gen_sample, direction="pos"):
    assert isinstance(gen_sample, list)
    if direction not in ["pos", "neg"]:
        raise ValueError("direction")
    model, tokenizer = load_classifier()
    texts = []
    for text in gen_sample:
        for token in (END, "[CLS]", "[SEP]", "[MASK]"):
            text = text.replace(token, " ")
        texts.append(text.strip().lower())
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    log_probs = torch.log_softmax(model(**inputs).logits.detach(), dim=-1)
    return log_probs.exp().select(1, 1 if direction == "pos" else 0)
