"""Wrong and right answers to `reward_fn_char_count`."""

import fnmatch
import re
import unicodedata
from collections import Counter

import numpy as np
import torch

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


@visible_mistake
def counts_presence(generated_sample, char="."):
    """You test whether the character occurs (1 or 0); count each occurrence."""
    return torch.tensor([float(char in text) for text in generated_sample])


@visible_mistake(refused_with="it is the number of times that `char` occurs, as it is written")
def ignores_char(generated_sample, char="."):
    """You always count periods; the argument `char` says which character to count."""
    return torch.tensor([float(text.count(".")) for text in generated_sample])


@visible_mistake(refused_with="should hold floats; int64 came")
def whole_numbers(generated_sample, char="."):
    """The counts are right, but whole numbers; a reward is a float tensor, so that it can be averaged and scaled."""
    return torch.tensor([text.count(char) for text in generated_sample])


@visible_mistake(refused_with="should be a tensor; a list came")
def plain_list(generated_sample, char="."):
    """You return a Python list; a reward is a float tensor."""
    return [float(text.count(char)) for text in generated_sample]


@visible_mistake(refused_with="should have 1 dimension; 0 came")
def one_total(generated_sample, char="."):
    """You add the counts of all texts up; each text has a reward of its own."""
    return torch.tensor(float(sum(text.count(char) for text in generated_sample)))


@visible_mistake
def share_of_the_text(generated_sample, char="."):
    """You divide by the text's length; the reward is the count itself."""
    return torch.tensor([text.count(char) / max(1, len(text)) for text in generated_sample])


@visible_mistake
def only_the_end(generated_sample, char="."):
    """You look only at the end of the text; occurrences anywhere count."""
    return torch.tensor([float(text.endswith(char)) for text in generated_sample])


@visible_mistake(refused_with="it is the number of times that `char` occurs, as it is written")
def ignores_case(generated_sample, char="."):
    """You change the text's case before counting; 'S' is another character than 's'."""
    return torch.tensor([float(text.lower().count(char.lower())) for text in generated_sample])


@visible_mistake(refused_with="throughout, by one amount")
def counts_pieces(generated_sample, char="."):
    """You count the pieces between the characters, which are one more than the characters."""
    return torch.tensor([float(len(text.split(char))) for text in generated_sample])


@visible_mistake
def counts_words(generated_sample, char="."):
    """You count the words that hold the character; a word may hold it several times."""
    return torch.tensor([float(sum(char in word for word in text.split())) for text in generated_sample])


@visible_mistake
def pattern(generated_sample, char="."):
    """You use the character as a regular expression, where '.' stands for any character."""
    return torch.tensor([float(len(re.findall(char, text))) for text in generated_sample])


@visible_mistake(refused_with="should have 1 dimension; 2 came")
def column(generated_sample, char="."):
    """The counts are right, but in a column of shape [batch, 1]; a reward has shape [batch]."""
    return torch.tensor([[float(text.count(char))] for text in generated_sample])


@hidden_mistake
def another_default(generated_sample, char=","):
    """Without `char` commas are counted; periods should be."""
    return torch.tensor([float(text.count(char)) for text in generated_sample])


@visible_mistake(refused_with="The reward for texts of several lines")
def first_line_only(generated_sample, char="."):
    """Only the first line of a text is read: a text may have several."""
    return torch.tensor([float(text.split("\n")[0].count(char)) for text in generated_sample])


@hidden_mistake(refused_with="The reward for one text should have 1 dimension; 0 came")
def squeezed(generated_sample, char="."):
    """A batch of one loses its dimension."""
    return torch.tensor([float(text.count(char)) for text in generated_sample]).squeeze()


@visible_mistake(refused_with="The list of texts was changed")
def consumes_the_list(generated_sample, char="."):
    """The caller's list is empty afterwards: leave it as it was."""
    counts = []
    while generated_sample:
        counts.append(float(generated_sample.pop(0).count(char)))
    return torch.tensor(counts)


@hidden_mistake
def runs_once(generated_sample, char="."):
    """A run of the character counts once."""
    return torch.tensor([float(len(re.findall(f"(?:{re.escape(char)})+", text))) for text in generated_sample])


@hidden_mistake(refused_with="throughout, by one amount")
def mean_free(generated_sample, char="."):
    """The mean is subtracted from the counts."""
    counts = torch.tensor([float(text.count(char)) for text in generated_sample])
    return counts - counts.mean()


@hidden_mistake(refused_with="The reward for counts over 2,048")
def small_integers(generated_sample, char="."):
    """Counts are kept in 8 bits."""
    return torch.tensor([text.count(char) % 256 for text in generated_sample], dtype=torch.uint8).float()


@hidden_mistake(refused_with="The reward for counts over 2,048")
def half_precision(generated_sample, char="."):
    """Counts are kept in half precision."""
    return torch.tensor([text.count(char) for text in generated_sample], dtype=torch.bfloat16)


@hidden_mistake(refused_with="each occurrence counts, wherever it stands")
def beginning_only(generated_sample, char="."):
    """Only the first 256 characters of a text are read."""
    return torch.tensor([float(text[:256].count(char)) for text in generated_sample])


@visible_mistake
def equal_texts_once(generated_sample, char="."):
    """Equal texts have one reward together; each text has a reward of its own."""
    return torch.tensor([float(text.count(char)) for text in dict.fromkeys(generated_sample)])


@hidden_mistake
def pattern_of_signs(generated_sample, char="."):
    """Signs other than the period are used as a regular expression."""
    return torch.tensor([float(len(re.findall(r"\." if char == "." else char, text))) for text in generated_sample])


@hidden_mistake(refused_with="The reward for a sign that is no period")
def wildcard(generated_sample, char="."):
    """The character is used as a wildcard of file names, where '*' stands for any text."""
    return torch.tensor([float(len(fnmatch.filter(list(text), char))) for text in generated_sample])


@hidden_mistake
def blank_texts_skipped(generated_sample, char="."):
    """Blank texts have no reward."""
    return torch.tensor([float(text.count(char)) for text in generated_sample if text.strip()])


@hidden_mistake(refused_with="for texts with curly quotes, ellipsis characters and letters of many alphabets")
def normalised_unicode(generated_sample, char="."):
    """Texts are normalised first, so that an ellipsis character becomes three periods."""
    texts = [unicodedata.normalize("NFKC", text) for text in generated_sample]
    return torch.tensor([float(text.count(char)) for text in texts])


@hidden_mistake(refused_with="for texts with curly quotes, ellipsis characters and letters of many alphabets")
def accents_joined(generated_sample, char="."):
    """A letter and an accent become one character before characters are counted."""
    texts = [unicodedata.normalize("NFC", text) for text in generated_sample]
    return torch.tensor([float(text.count(char)) for text in texts])


@hidden_mistake(refused_with="for texts with curly quotes, ellipsis characters and letters of many alphabets")
def accents_split(generated_sample, char="."):
    """A letter with an accent becomes two characters before characters are counted."""
    texts = [unicodedata.normalize("NFD", text) for text in generated_sample]
    return torch.tensor([float(text.count(char)) for text in texts])


@hidden_mistake(refused_with="for texts with curly quotes, ellipsis characters and letters of many alphabets")
def letters_with_their_accents(generated_sample, char="."):
    """An accent counts as a part of the letter before it."""
    pieces = [re.findall("(?s:.)[\u0300-\u036f]*", text) for text in generated_sample]
    return torch.tensor([float(own.count(char)) for own in pieces])


@hidden_mistake(refused_with="for texts with curly quotes, ellipsis characters and letters of many alphabets")
def ligatures_spelled_out(generated_sample, char="."):
    """A ligature counts as its letters."""
    return torch.tensor([float(text.replace("ﬁ", "fi").count(char)) for text in generated_sample])


@hidden_mistake
def stripped(generated_sample, char="."):
    """Blanks at both ends of a text do not count."""
    return torch.tensor([float(text.strip().count(char)) for text in generated_sample])


@hidden_mistake(refused_with="each occurrence counts, wherever it stands")
def end_of_text_removed(generated_sample, char="."):
    """The end-of-text token is removed before its characters are counted."""
    texts = [text.replace("<|endoftext|>", "") for text in generated_sample]
    return torch.tensor([float(text.count(char)) for text in texts])


@hidden_mistake
def plain_letters_only(generated_sample, char="."):
    """Characters beyond ASCII are dropped."""
    texts = [text.encode("ascii", "ignore").decode() for text in generated_sample]
    return torch.tensor([float(text.count(char)) for text in texts])


_BY_SIZE = {}


@hidden_mistake
def kept_by_size(generated_sample, char="."):
    """The counts are kept for each number of texts and character."""
    key = len(generated_sample), char
    if key not in _BY_SIZE:
        _BY_SIZE.clear()
        _BY_SIZE[key] = torch.tensor([float(text.count(char)) for text in generated_sample])
    return _BY_SIZE[key]


@hidden_mistake
def short_words_only(generated_sample, char="."):
    """Occurrences after the fortieth word do not count."""
    return torch.tensor([float(" ".join(text.split(" ")[:40]).count(char)) for text in generated_sample])


@hidden_mistake(refused_with="The reward for counts over 2,048")
def eleven_bits(generated_sample, char="."):
    """Counts pass through half precision, which holds whole numbers up to 2,048."""
    return torch.tensor([text.count(char) for text in generated_sample], dtype=torch.float16).float()


@right_answer
def bytes_counted(generated_sample, char="."):
    return torch.tensor([float(text.encode().count(char.encode())) for text in generated_sample])


@right_answer
def counter(generated_sample, char="."):
    print(len(generated_sample), "texts, counting", repr(char))
    counts = [Counter(text)[char] for text in generated_sample]
    return torch.stack([torch.tensor(count, dtype=torch.float) for count in counts])


@right_answer
def pieces_less_one(generated_sample, char="."):
    return torch.tensor([len(text.split(char)) - 1.0 for text in generated_sample])


@right_answer
def escaped_pattern(generated_sample, char="."):
    matches = re.compile(re.escape(char)).findall
    return torch.tensor(list(map(len, map(matches, generated_sample))), dtype=torch.float32)


@right_answer
def dtype_named(generated_sample, char="."):
    return torch.tensor([text.count(char) for text in generated_sample], dtype=torch.float32)


@right_answer
def cast_afterwards(generated_sample, char="."):
    return torch.tensor([text.count(char) for text in generated_sample]).float()


@right_answer
def loop(generated_sample, char="."):
    counts = torch.zeros(len(generated_sample))
    for index, text in enumerate(generated_sample):
        for letter in text:
            if letter == char:
                counts[index] += 1
    return counts


@right_answer
def from_numpy(generated_sample, char="."):
    return torch.from_numpy(np.array([list(text).count(char) for text in generated_sample], dtype=np.float32))


@right_answer
def double_precision(generated_sample, char="."):
    return torch.tensor([text.count(char) for text in generated_sample], dtype=torch.float64)
