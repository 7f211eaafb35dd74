"""Known mistakes of `reward_fn_char_count`."""

import re

import torch


def counts_presence(generated_sample, char="."):
    """You ask whether the character occurs (1 or 0); each occurrence counts."""
    return torch.tensor([float(char in text) for text in generated_sample])


def ignores_char(generated_sample, char="."):
    """You always count periods; the argument `char` says which character to count."""
    return torch.tensor([float(text.count(".")) for text in generated_sample])


def whole_numbers(generated_sample, char="."):
    """The counts are right, but whole numbers; a reward is a float tensor, so that it can be averaged and scaled."""
    return torch.tensor([text.count(char) for text in generated_sample])


def plain_list(generated_sample, char="."):
    """You return a Python list; a reward is a float tensor."""
    return [float(text.count(char)) for text in generated_sample]


def one_total(generated_sample, char="."):
    """You add the counts of all texts up; each text has a reward of its own."""
    return torch.tensor(float(sum(text.count(char) for text in generated_sample)))


def share_of_the_text(generated_sample, char="."):
    """You divide by the text's length; the reward is the count itself."""
    return torch.tensor([text.count(char) / max(1, len(text)) for text in generated_sample])


def only_the_end(generated_sample, char="."):
    """You look at the end of the text alone; occurrences anywhere count."""
    return torch.tensor([float(text.endswith(char)) for text in generated_sample])


def ignores_case(generated_sample, char="."):
    """You change the text's case before counting; 'S' is another character than 's'."""
    return torch.tensor([float(text.lower().count(char.lower())) for text in generated_sample])


def counts_pieces(generated_sample, char="."):
    """You count the pieces between the characters, which are one more than the characters."""
    return torch.tensor([float(len(text.split(char))) for text in generated_sample])


def counts_words(generated_sample, char="."):
    """You count the words that hold the character; a word may hold it several times."""
    return torch.tensor([float(sum(char in word for word in text.split())) for text in generated_sample])


def pattern(generated_sample, char="."):
    """You use the character as a regular expression, where '.' stands for any character."""
    return torch.tensor([float(len(re.findall(char, text))) for text in generated_sample])


def column(generated_sample, char="."):
    """The counts are right, but in a column of shape [batch, 1]; a reward has shape [batch]."""
    return torch.tensor([[float(text.count(char))] for text in generated_sample])
