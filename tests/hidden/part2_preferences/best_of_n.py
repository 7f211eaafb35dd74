"""Wrong and right answers to `best_of_n`."""

import torch

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _require_numbers(rewards):
    if rewards.isnan().any():
        raise ValueError("NaN")


@visible_mistake
def over_prompts(rewards):
    """You look for the best prompt of each column (dim=0); look for the best completion of each prompt (dim=1)."""
    _require_numbers(rewards)
    return rewards.argmax(0)


@visible_mistake
def over_everything(rewards):
    """You return one index for the whole batch; each prompt has a best completion of its own."""
    _require_numbers(rewards)
    return rewards.argmax()


# The index and what it selects, confused in a lecture: https://github.com/natolambert/rlhf-book/pull/481
@visible_mistake
def highest_rewards(rewards):
    """You return the highest rewards; return their indices."""
    _require_numbers(rewards)
    return rewards.max(dim=1).values


@visible_mistake
def worst(rewards):
    """You return the index of the lowest reward (argmin); the best completion has the highest one."""
    _require_numbers(rewards)
    return rewards.argmin(dim=1)


@visible_mistake(refused_with="the first one of equals")
def last_of_equals(rewards):
    """Where several completions share the highest reward, you take the last of them; take the first one."""
    _require_numbers(rewards)
    return rewards.shape[1] - 1 - rewards.flip(1).argmax(dim=1)


@visible_mistake
def largest_size(rewards):
    """You compare the sizes of the rewards without their signs; -3 is less than 1."""
    _require_numbers(rewards)
    return rewards.abs().argmax(dim=1)


@visible_mistake(refused_with="should have 1 dimension; 2 came")
def column(rewards):
    """The indices are right, but in a column of shape [prompts, 1]; the result has shape [prompts]."""
    _require_numbers(rewards)
    return rewards.argmax(dim=1, keepdim=True)


@visible_mistake
def one_hot(rewards):
    """You return which completion is the best one as a table of 0 and 1; return its index."""
    _require_numbers(rewards)
    return torch.nn.functional.one_hot(rewards.argmax(dim=1), rewards.shape[1])


@visible_mistake
def order(rewards):
    """You return the order of all completions; return the index of the best one alone."""
    _require_numbers(rewards)
    return rewards.argsort(dim=1, descending=True, stable=True)


@visible_mistake
def counted_from_1(rewards):
    """You count the completions from 1; indices count from 0."""
    _require_numbers(rewards)
    return rewards.argmax(dim=1) + 1


@visible_mistake
def flat_indices(rewards):
    """You return positions in the flattened tensor; an index counts within its own prompt, from 0 to n - 1."""
    _require_numbers(rewards)
    return rewards.argmax(dim=1) + torch.arange(rewards.shape[0]) * rewards.shape[1]


@visible_mistake(refused_with="should hold whole numbers")
def floats(rewards):
    """The indices are right, but they are floats, with which no tensor can be indexed."""
    _require_numbers(rewards)
    return rewards.argmax(dim=1).to(rewards.dtype)


@visible_mistake(refused_with="should be a tensor; a list came")
def plain_list(rewards):
    """You return a Python list; the result is a tensor of whole numbers."""
    _require_numbers(rewards)
    return rewards.argmax(dim=1).tolist()


@visible_mistake(refused_with="should raise a ValueError; a result came")
def nan_is_best(rewards):
    """A reward that is NaN is taken for the best one, since argmax does so: raise a ValueError."""
    return rewards.argmax(dim=1)


@visible_mistake(refused_with="should raise a ValueError; a result came")
def nan_is_worst(rewards):
    """A reward that is NaN is replaced, and the error that made it stays hidden: raise a ValueError."""
    return rewards.nan_to_num(nan=-torch.inf).argmax(dim=1)


@hidden_mistake(refused_with="for many completions")
def first_completions_only(rewards):
    """Only the first 64 completions count."""
    _require_numbers(rewards)
    return rewards[:, :64].argmax(dim=1)


@hidden_mistake(refused_with="should raise a ValueError; a result came")
def nan_sought_in_the_best(rewards):
    """NaN is only sought in the first row."""
    _require_numbers(rewards[:1])
    return rewards.argmax(dim=1)


@hidden_mistake(refused_with="for rewards that hardly differ")
def half_precision(rewards):
    """Rewards are compared in half precision, in which many are equal."""
    _require_numbers(rewards)
    return rewards.half().argmax(dim=1)


@hidden_mistake(refused_with="should have 1 dimension; 0 came")
def squeezed(rewards):
    """A single prompt loses its dimension."""
    _require_numbers(rewards)
    return rewards.argmax(dim=1).squeeze()


@hidden_mistake(refused_with="`rewards` was changed in place")
def sorted_in_place(rewards):
    """The highest rewards are written to the front of the caller's tensor."""
    _require_numbers(rewards)
    best = rewards.argmax(dim=1)
    rewards.detach().copy_(rewards.detach().sort(dim=1, descending=True).values)
    return best


@hidden_mistake(refused_with="for float64 tensors whose entries float32 could not tell apart")
def single_precision(rewards):
    """Rewards in double precision are compared in single precision, in which different ones may be equal."""
    _require_numbers(rewards)
    return rewards.float().argmax(dim=1)


@hidden_mistake(refused_with="for rewards far below 0")
def best_so_far_from_a_low_number(rewards):
    """The search for the highest reward starts from -10,000, and finds none below that."""
    _require_numbers(rewards)
    indices = []
    for row in rewards.tolist():
        best, index = -1e4, 0
        for column, reward in enumerate(row):
            if reward > best:
                best, index = reward, column
        indices.append(index)
    return torch.tensor(indices)


@hidden_mistake(refused_with="for rewards of which some are equal")
def every_equal_one(rewards):
    """All completions that share the highest reward are returned."""
    _require_numbers(rewards)
    return (rewards == rewards.amax(dim=1, keepdim=True)).nonzero()[:, 1]


@hidden_mistake(refused_with="for many rewards that are 0 or 1")
def sorted_without_an_order_of_equals(rewards):
    """The sort is not a stable one, and puts any one of many equals first."""
    _require_numbers(rewards)
    return rewards.sort(dim=1, descending=True).indices[:, 0]


@hidden_mistake(refused_with="it is the first one of equals")
def any_of_the_equals(rewards):
    """topk takes any one of equals."""
    _require_numbers(rewards)
    return rewards.topk(1, dim=1).indices[:, 0]


@hidden_mistake(refused_with="should raise a ValueError; a result came")
def nan_by_equality(rewards):
    """NaN is looked for with ==, which is never true of it."""
    if (rewards == float("nan")).any():
        raise ValueError("NaN")
    return rewards.argmax(dim=1)


@right_answer
def maximum(rewards):
    _require_numbers(rewards)
    return torch.max(rewards, dim=-1).indices


@right_answer
def stable_sort(rewards):
    _require_numbers(rewards)
    return rewards.argsort(dim=1, descending=True, stable=True)[:, 0]


@right_answer
def first_where_equal(rewards):
    if torch.isnan(rewards).any():
        raise ValueError("NaN")
    highest = rewards.amax(dim=1, keepdim=True)
    return (rewards == highest).int().argmax(dim=1).int()


@right_answer
def one_by_one(rewards):
    if not bool((rewards == rewards).all()):
        raise ValueError("NaN")
    return torch.tensor([max(range(len(row)), key=row.__getitem__) for row in rewards.tolist()])


@right_answer
def list_index(rewards):
    if rewards.sum().isnan():
        raise ValueError("NaN")
    return torch.tensor([row.index(max(row)) for row in rewards.tolist()])
