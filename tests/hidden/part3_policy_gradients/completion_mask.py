"""Wrong and right answers to `completion_mask`."""

import torch
from torch.nn.functional import one_hot, pad

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _first_ends(ids, eos):
    """The position of each text's first end-of-text token; the number of tokens where there is none."""
    ends = ids == eos
    return torch.where(ends.any(1), ends.int().argmax(1), ids.shape[1])


def _up_to(ids, last):
    """True at the positions up to and with the last one of each text."""
    return torch.arange(ids.shape[1]) <= last[:, None]


def _right(ids, eos):
    return _up_to(ids, _first_ends(ids, eos))


# A mask from the ids, which took the end for padding: https://github.com/huggingface/trl/pull/4970
@visible_mistake
def end_masked_out(ids, eos):
    """The end-of-text token itself is left out: it was sampled too, and without it no text learns to end."""
    return _up_to(ids, _first_ends(ids, eos) - 1)


# The same in two more trainers: https://github.com/huggingface/trl/pull/6357
@visible_mistake
def every_end_masked_out(ids, eos):
    """You leave out the end-of-text tokens and nothing else: the first one counts, and nothing that follows it does."""
    return ids != eos


@visible_mistake
def only_further_ends_masked_out(ids, eos):
    """Tokens after the end count where they are no end-of-text tokens: nothing that follows the first one does."""
    ends = ids == eos
    return ~(ends & (ends.cumsum(1) > 1))


@visible_mistake
def every_end_counts(ids, eos):
    """You let every end-of-text token count; only the first one does, and nothing after it."""
    return _right(ids, eos) | (ids == eos)


@visible_mistake
def up_to_the_last_end(ids, eos):
    """Your masks go up to the last end-of-text token; a completion is over with the first one."""
    position = torch.arange(ids.shape[1])
    last = torch.where(ids == eos, position, -1).max(1).values
    return _up_to(ids, torch.where(last < 0, ids.shape[1], last))


# Padding after the end that counted as text: https://github.com/bingreeky/MemGen/pull/33
@visible_mistake
def one_position_too_far(ids, eos):
    """Your masks go one position too far: the end-of-text token is the last one that counts."""
    return _up_to(ids, _first_ends(ids, eos) + 1)


@visible_mistake
def up_to_the_second_end(ids, eos):
    """Your masks go on until just before a second end-of-text token; nothing after the first one counts."""
    return (ids == eos).cumsum(1) <= 1


@visible_mistake
def everything(ids, eos):
    """Your mask is True everywhere: what follows a text's first end-of-text token is padding."""
    return torch.ones_like(ids, dtype=torch.bool)


@visible_mistake(refused_with="is 1 minus what it should be")
def inverted(ids, eos):
    """The mask is inverted: it is True at the tokens of the completion, and False after its end."""
    return ~_right(ids, eos)


@visible_mistake
def ends_alone(ids, eos):
    """Your mask is True at end-of-text tokens; it is True at all tokens up to and with the first one."""
    return ids == eos


# Why the position of an end needs care where there is none: https://github.com/huggingface/trl/pull/2708
@visible_mistake
def no_end_means_the_first_position(ids, eos):
    """A text without an end gets True at its first token alone: `argmax` gives 0 where nothing is True."""
    return _up_to(ids, (ids == eos).int().argmax(1))


@visible_mistake
def no_end_means_no_completion(ids, eos):
    """A text without an end-of-text token was cut off; all of its tokens count, and you leave it out."""
    return _right(ids, eos) & (ids == eos).any(1, keepdim=True)


@visible_mistake
def first_position_means_no_end(ids, eos):
    """A text that ends with its first token is taken for one without an end: 0 is a position like the others."""
    first = (ids == eos).int().argmax(1)
    return _up_to(ids, torch.where(first == 0, ids.shape[1], first))


@visible_mistake
def over_texts(ids, eos):
    """You count end-of-text tokens over the texts (dimension 0); count them over the tokens of each text."""
    ends = (ids == eos).int()
    return ends.cumsum(0) - ends == 0


@visible_mistake
def end_of_the_first_text(ids, eos):
    """All texts end where the first one does; each has its own end."""
    return _right(ids[:1], eos).expand_as(ids).clone()


@visible_mistake
def earliest_end(ids, eos):
    """All texts end with the one that ends first; each has its own end."""
    return _up_to(ids, _first_ends(ids, eos).min().expand(len(ids)))


@visible_mistake
def padding_found_at_the_back(ids, eos):
    """You cut the end-of-text tokens off at the back; others may come after the first one, so look from the front."""
    position = torch.arange(ids.shape[1])
    last_other = torch.where(ids != eos, position, -1).max(1).values
    return _up_to(ids, last_other + 1)


@visible_mistake
def zero_is_the_padding(ids, eos):
    """You take tokens with the id 0 for padding; what follows the first end-of-text token is, whatever its id."""
    return ids != 0


@visible_mistake
def lengths(ids, eos):
    """You return the number of tokens of each completion; the mask has a number for each token."""
    return _right(ids, eos).sum(1)


@visible_mistake(refused_with="should have the dtype bool; int64 came")
def whole_numbers(ids, eos):
    """The mask is right, but it holds whole numbers; make it a boolean tensor."""
    return _right(ids, eos).long()


@visible_mistake(refused_with="should have the dtype bool; float32 came")
def floats(ids, eos):
    """The mask is right, but it holds floats; make it a boolean tensor."""
    return _right(ids, eos).float()


@visible_mistake
def ids_kept(ids, eos):
    """You return the ids with zeros after the end; return whether each token counts."""
    return ids * _right(ids, eos)


@visible_mistake(refused_with="`completion_ids` was changed in place")
def padding_overwritten(ids, eos):
    """The mask is right, but you overwrite what follows the end in the caller's tensor."""
    mask = _right(ids, eos)
    ids[~mask] = eos
    return mask


# An end-of-text token that was never looked for, since its id is 0: https://github.com/hiyouga/LlamaFactory/pull/2411
@visible_mistake(refused_with="the id 0")
def id_0_not_taken(ids, eos):
    """An `eos_token_id` of 0 is taken for a missing one: 0 is an id like the others."""
    return _right(ids, eos) if eos else torch.ones_like(ids, dtype=torch.bool)


@visible_mistake
def larger_ids_end_too(ids, eos):
    """Every id from `eos_token_id` on ends a text; only that id does."""
    ends = (ids >= eos).int()
    return ends.cumsum(1) - ends == 0


@visible_mistake
def id_of_gpt2(ids, eos):
    """You look for the id 50256, which is GPT-2's end-of-text token; compare with the `eos_token_id` that comes in."""
    return _right(ids, 50256)


@visible_mistake
def id_of_the_embedded_model(ids, eos):
    """You look for the id 0, the embedded model's end-of-text token; compare with the `eos_token_id` that comes in."""
    return _right(ids, 0)


@visible_mistake
def id_of_the_example(ids, eos):
    """You look for the id 9, which ends the texts of the first example; compare with the `eos_token_id` of the call."""
    return _right(ids, 9)


@hidden_mistake(refused_with="for many texts")
def sixteen_texts(ids, eos):
    """Texts after the sixteenth are taken to have no end."""
    mask = _right(ids, eos)
    mask[16:] = True
    return mask


@hidden_mistake(refused_with="for long texts")
def first_64_tokens(ids, eos):
    """An end after the 64th token is not found."""
    return _right(ids, eos) | (_first_ends(ids[:, :64], eos) == min(64, ids.shape[1]))[:, None]


@hidden_mistake(refused_with="where no text has an end")
def nobody_ends(ids, eos):
    """Where no text has an end, the mask is False everywhere."""
    return _right(ids, eos) & (ids == eos).any()


@hidden_mistake(refused_with="RuntimeError")
def one_hot_ids(ids, eos):
    """The ids are made one-hot, which negative ones cannot be."""
    ends = one_hot(ids, max(int(ids.max()), eos) + 1)[..., eos]
    return ends.cumsum(1) - ends == 0


@hidden_mistake(refused_with="for texts with hundreds of end-of-text tokens")
def counted_in_eight_bits(ids, eos):
    """The ends are counted in eight bits, which hold numbers up to 255."""
    ends = (ids == eos).to(torch.uint8)
    return ends.cumsum(1, dtype=torch.uint8) - ends == 0


@hidden_mistake(refused_with="for another id of the end")
def in_half_precision(ids, eos):
    """The ids are compared in half precision, which cannot tell large ones apart."""
    ends = (ids.half() == torch.tensor(eos).half()).int()
    return ends.cumsum(1) - ends == 0


@hidden_mistake(refused_with="for another id of the end")
def in_one_byte(ids, eos):
    """The ids are compared in one byte, which cannot tell those apart that differ by 256."""
    ends = (ids.to(torch.uint8) == torch.tensor(eos).to(torch.uint8)).int()
    return ends.cumsum(1) - ends == 0


@hidden_mistake(refused_with="should have 2 dimensions; 1 came")
def squeezed(ids, eos):
    """A single text or token loses its dimension."""
    return _right(ids, eos).squeeze()


_MASKS = {}


@hidden_mistake(refused_with="after a call with other values of the same sizes")
def first_mask_kept(ids, eos):
    """The mask of the first batch of a shape is returned for all later ones."""
    return _MASKS.setdefault(tuple(ids.shape), _right(ids, eos)).clone()


_BUFFERS = {}


@hidden_mistake(refused_with="after a later call")
def shared_buffer(ids, eos):
    """The result is a tensor that the next call of the same shape overwrites."""
    mask = _right(ids, eos)
    return _BUFFERS.setdefault(tuple(ids.shape), torch.empty_like(mask)).copy_(mask)


@hidden_mistake(refused_with="switches gradients off")
def gradients_off_for_good(ids, eos):
    """Gradients are switched off, and not on again."""
    torch.set_grad_enabled(False)
    return _right(ids, eos)


@hidden_mistake
def equal_texts_are_cut(ids, eos):
    """A text that equals the one before has no tokens."""
    mask = _right(ids, eos)
    mask[1:] &= (ids[1:] != ids[:-1]).any(1, keepdim=True)
    return mask


@hidden_mistake(refused_with="`completion_ids` was changed in place")
def ids_sorted_in_place(ids, eos):
    """The caller's ids are in another order afterwards."""
    mask = _right(ids, eos)
    ids.copy_(ids.flip(1))
    return mask


@hidden_mistake
def flat(ids, eos):
    """The ends are counted over the whole batch, as one long text."""
    ends = (ids == eos).int().flatten()
    return (ends.cumsum(0) - ends == 0).view(ids.shape)


@hidden_mistake
def end_at_the_end_of_the_row(ids, eos):
    """The last position is always False unless the text ends there."""
    mask = _right(ids, eos)
    mask[:, -1] &= ids[:, -1] == eos
    return mask


@hidden_mistake
def gpt2s_end_first(ids, end):
    """Where GPT-2's end occurs, a text ends there, whatever the id of the end is."""
    gpt2s = 50_256
    return _right(ids, gpt2s if bool((ids == gpt2s).any()) else end)


@right_answer
def compared_with_positions(ids, eos):
    gen = ids.shape[1]
    position = torch.arange(gen).expand_as(ids)
    first = torch.where(ids == eos, position, gen).amin(dim=1, keepdim=True)
    return position <= first


@right_answer
def product_of_what_came_before(ids, eos):
    goes_on = (ids != eos).long().cumprod(dim=1)
    return torch.cat([torch.ones_like(goes_on[:, :1]), goes_on[:, :-1]], dim=1).bool()


@right_answer
def text_by_text(ids, eos):
    mask = torch.ones(ids.shape, dtype=torch.bool)
    for row, tokens in enumerate(ids.tolist()):
        if eos in tokens:
            mask[row, tokens.index(eos) + 1 :] = False
    return mask


@right_answer
def column_by_column(ids, eos):
    running, columns = torch.ones(len(ids), dtype=torch.bool), []
    for column in ids.unbind(1):
        columns.append(running)
        running = running & (column != eos)
    return torch.stack(columns, dim=1)


@right_answer
def padded_before_counting(ids, eos):
    return pad(ids == eos, (1, 0))[:, :-1].cumsum(1).eq(0)


@right_answer
def largest_so_far(ids, eos):
    shifted = (ids == eos).int().roll(1, dims=1)
    shifted[:, 0] = 0
    return ~shifted.cummax(1).values.bool()


@right_answer
def lists(ids, eos):
    rows = [[eos not in tokens[:position] for position in range(len(tokens))] for tokens in ids.tolist()]
    return torch.tensor(rows)
