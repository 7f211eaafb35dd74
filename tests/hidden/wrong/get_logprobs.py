"""Wrong answers to `get_logprobs`."""

from torch.nn.functional import cross_entropy


def prefix_marked_in_place(logits, tokens, prefix_len=None):
    """The tokens of the prefix are overwritten, in the caller's tensor."""
    first = prefix_len or 1
    tokens[:, :first] = -100
    return -cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")[:, first - 1 :]


def first_text_only(logits, tokens, prefix_len=None):
    """Every text is asked about the first text's tokens."""
    first = prefix_len or 1
    same = tokens[:1].expand(tokens.shape[0], -1)
    return logits[:, first - 1 : -1].log_softmax(-1).gather(-1, same[:, first:, None]).squeeze(-1)


def mean_over_texts(logits, tokens, prefix_len=None):
    """Every text has the mean over the batch."""
    first = prefix_len or 1
    chosen = logits[:, first - 1 : -1].log_softmax(-1).gather(-1, tokens[:, first:, None]).squeeze(-1)
    return chosen.mean(0, keepdim=True).expand_as(chosen)
