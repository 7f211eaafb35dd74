"""Draw the inputs of an exercise in every circumstance that its contract admits.

An exercise declares its `Inputs` once: sizes, and for each argument what it holds. `Inputs.calls` then makes calls in
the circumstances of this library, which are the same for all exercises, so that equal mistakes get equal marks.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor

from rlhf_course.checks.layouts import copy_with_strides, slice_of_larger
from rlhf_course.grading.judge.draw import Draw, DrawState
from rlhf_course.grading.judge.texts import (
    long_texts,
    ordinary_text,
    partly_blank_texts,
    partly_equal_texts,
    texts_of_all_lengths,
    texts_of_lines,
    texts_with_special_tokens,
    unicode_texts,
)

# The sizes of the vocabularies of the course's embedded model and of GPT-2.
EMBEDDED_VOCABULARY, GPT2_VOCABULARY = 3_072, 50_257
# A tensor of a large axis has at most this many entries along each of its other axes.
_MAX_BESIDE_LARGE = 2
_MANY, _SOME = 67, 4
# Tensors of drawn calls that are kept for the next answers of a class: at most this many entries, of four bytes each.
_MAX_KEPT_ENTRIES = 40_000_000
# The numbers of texts and tokens of a large minibatch, whose logits of GPT-2's vocabulary are over a million numbers.
_OF_LARGE_MINIBATCH = 5

T = TypeVar("T")


@dataclass(frozen=True)
class Floats:
    """A float tensor argument.

    Attributes:
        axes: The names of the sizes along its axes; "prefix + gen_len" stands for their sum.
        scale: The standard deviation of its entries.
        mean: The mean of its entries.
        differentiable: Whether callers may pass a tensor that requires a gradient.
    """

    axes: tuple[str, ...]
    scale: float = 1.0
    mean: float = 0.0
    differentiable: bool = True


@dataclass(frozen=True)
class Tokens:
    """An integer tensor argument that holds token ids.

    Attributes:
        axes: As for `Floats`.
        vocabulary: The name of the size that all ids are below.
    """

    axes: tuple[str, ...]
    vocabulary: str = "vocab"


@dataclass(frozen=True)
class Mask:
    """A boolean tensor argument of texts and positions, which is False at padding on either side.

    Attributes:
        axes: As for `Floats`: that of the texts, and that of the positions.
        kind: "attention" for a mask that is True at the tokens of each text; "completion" for one that is True at those
            of its completion, which follow the tokens of a prompt, if there is one.
    """

    axes: tuple[str, str]
    kind: Literal["attention", "completion"]


@dataclass(frozen=True)
class Number:
    """A float argument, drawn between two ends."""

    low: float
    high: float


@dataclass(frozen=True)
class Size:
    """An integer argument that is a size of the tensors."""

    name: str


@dataclass(frozen=True)
class Texts:
    """An argument that is a list of texts.

    Attributes:
        axis: The name of the size that is the number of texts.
        text: Draws one ordinary text.
    """

    axis: str
    text: Callable[[Draw], str] = ordinary_text


@dataclass(frozen=True)
class Choice:
    """An argument that is one of several strings, such as a character or a direction."""

    options: tuple[str, ...]


Argument: TypeAlias = Floats | Tokens | Mask | Number | Size | Texts | Choice


@dataclass(frozen=True)
class Circumstance:
    """What is particular about the inputs of a call.

    Attributes:
        phrase: Follows the name of a result in a message, such as "for one text".
        sizes: Sizes that have these values; the others are drawn.
        equal_sizes: Whether all sizes are the same.
        layout: How the tensors lie in memory.
        dtype: The dtype of the float tensors.
        requires_grad: Whether the float tensors require a gradient.
        graph: Whether the float tensors are results of an operation, as those of a forward pass are.
        repeated: Whether all entries along the first axis of each tensor are equal.
        partly_repeated: Whether the first two entries along the first axis of each tensor are equal.
        agreeing: Whether tensors with the same axes agree in the first entry along them.
        extreme: Entries lie near this number and its negative; None for ordinary entries.
        level: Is added to all entries of float tensors, which are drawn as usual.
        entries: Draws the entries of a float tensor of a shape; None for ordinary entries.
        texts: Draws a list of texts of a length; None for ordinary texts.
        rollout: Whether the arguments come from a recorded rollout of the course's model.
        padding: The side of each text on which masks have padding; "either" draws a side for each text.
        prompts: Whether completion masks leave out the tokens of prompts.
        no_completion: Whether the first text, and perhaps others, has no completion.
        end_tokens: Whether all token ids at padding, and the last one of each text, are the vocabulary's last id, as
            where the end-of-text token is the padding token.
    """

    phrase: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    equal_sizes: bool = False
    layout: Literal["contiguous", "slice", "transposed", "as drawn"] = "contiguous"
    dtype: torch.dtype = torch.float32
    requires_grad: bool = False
    graph: bool = False
    repeated: bool = False
    partly_repeated: bool = False
    agreeing: bool = False
    extreme: float | None = None
    level: float = 0.0
    entries: Callable[[Draw, Sequence[int]], Tensor] | None = None
    texts: Callable[[Draw, int], list[str]] | None = None
    rollout: bool = False
    padding: Literal["either", "left", "right", "none"] = "either"
    prompts: bool = True
    no_completion: bool = False
    end_tokens: bool = False

    def __hash__(self) -> int:
        return hash((self.phrase, *sorted(self.sizes.items())))


ORDINARY = Circumstance()
EQUAL_SIZES = Circumstance("for tensors whose sizes are all equal", equal_sizes=True)
SLICE = Circumstance("for slices of larger tensors, as the trainer passes them", layout="slice")
TRANSPOSED = Circumstance("for transposed tensors", layout="transposed")
DOUBLE = Circumstance("for float64 tensors", dtype=torch.float64)
# A result for float64 tensors is only right here if no step of its computation is in float32.
BEYOND_FLOAT32 = Circumstance(
    "for float64 tensors whose entries float32 could not tell apart", dtype=torch.float64, level=2.0**26
)
WITH_GRADIENT = Circumstance("for tensors that require a gradient", requires_grad=True)
IN_A_ROLLOUT = Circumstance("for what a rollout of the course's model holds", layout="as drawn", rollout=True)
WITH_GRAPH = Circumstance("for results of a forward pass", requires_grad=True, graph=True)

MASK_CIRCUMSTANCES = (
    Circumstance("for texts that are padded on the right", padding="right"),
    Circumstance("for texts that are padded on the left", padding="left"),
    Circumstance("for texts without padding", padding="none"),
)
COMPLETION_CIRCUMSTANCES = (
    Circumstance("for texts of which some have no completion", no_completion=True),
    Circumstance("for completions that begin at a text's first token", prompts=False),
)
END_TOKENS = Circumstance("for texts that end with the token that is also the padding token", end_tokens=True)
TEXT_CIRCUMSTANCES = (
    Circumstance("for texts with curly quotes, ellipsis characters and letters of many alphabets", texts=unicode_texts),
    Circumstance("for texts of which some are empty or blank", texts=partly_blank_texts),
    Circumstance("for texts of 45 words and more", texts=long_texts),
    Circumstance("for texts of very different lengths", texts=texts_of_all_lengths),
    Circumstance("for texts of several lines", texts=texts_of_lines),
    Circumstance("for texts of which some are equal", texts=partly_equal_texts),
    Circumstance("for texts that hold special tokens, written out", texts=texts_with_special_tokens),
)


class _InDoublePrecision(Mapping[str, Any]):
    """Arguments by name, of which a float tensor is converted to double precision when it is read."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments

    def __getitem__(self, name: str) -> Any:
        value = self._arguments[name]
        return value.double() if _is_float(value) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._arguments)

    def __len__(self) -> int:
        return len(self._arguments)


@dataclass(frozen=True)
class Call:
    """One call of an answer.

    Attributes:
        circumstance: What is particular about its inputs.
        sizes: The sizes of its tensors by name.
    """

    circumstance: Circumstance
    _arguments: Mapping[str, Any]
    sizes: Mapping[str, int] = field(default_factory=dict)
    _right: dict[Callable[..., Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def exact(self) -> Mapping[str, Any]:
        """The arguments by name, with floats in double precision. The judge computes with these alone."""
        return _InDoublePrecision(self._arguments)

    def right(self, formula: Callable[..., T]) -> T:
        """Return what a formula gives for the exact arguments; a class's answers share it, so do not change it."""
        if formula not in self._right:
            self._right[formula] = formula(**self.exact)
        result: T = self._right[formula]
        return result

    @property
    def entries(self) -> int:
        """The number of entries of its tensors."""
        return sum(value.numel() for value in self._arguments.values() if isinstance(value, Tensor))

    def passed(self) -> list[Any]:
        """Return new copies of the arguments in order, laid out in memory as the circumstance wants them."""
        return [self._copy(argument) for argument in self._arguments.values()]

    def _copy(self, argument: Any) -> Any:
        if isinstance(argument, Tensor):
            return self._copy_tensor(argument)
        return list(argument) if isinstance(argument, tuple) else argument

    def _copy_tensor(self, tensor: Tensor) -> Tensor:
        copy = _laid_out(tensor, self.circumstance.layout).requires_grad_(self._requires_grad(tensor))
        return copy.clone() if self.circumstance.graph else copy

    def _requires_grad(self, tensor: Tensor) -> bool:
        return self.circumstance.requires_grad and tensor.is_floating_point()

    def with_arguments(self, phrase: str = "", **arguments: Any) -> "Call":
        """Return the call with other values of some arguments, and another phrase unless it is empty."""
        assert set(arguments) <= set(self._arguments), "the call has no such argument"
        circumstance = replace(self.circumstance, phrase=phrase or self.circumstance.phrase)
        return replace(self, circumstance=circumstance, _arguments={**self._arguments, **arguments})

    def with_tensors_of(self, other: "Call", phrase: str) -> "Call":
        """Return the call with the tensors of another call of the same sizes, and another phrase."""
        tensors = {name: value for name, value in other._arguments.items() if isinstance(value, Tensor)}
        return self.with_arguments(phrase, **tensors)

    def changed(self, passed: Sequence[Any]) -> list[str]:
        """Return the names of the tensors and lists that differ from what was passed, after the call.

        Args:
            passed: The list that `passed` returned, after an answer was called with it.
        """
        pairs = zip(self._arguments.items(), passed, strict=True)
        return [name for (name, before), after in pairs if _differs(before, after)]

    def flagged(self, passed: Sequence[Any]) -> list[str]:
        """Return the names of the tensors that require a gradient only before, or only after the call.

        Args:
            passed: The list that `passed` returned, after an answer was called with it.
        """
        pairs = zip(self._arguments.items(), passed, strict=True)
        return [
            name
            for (name, before), after in pairs
            if isinstance(before, Tensor) and after.requires_grad != self._requires_grad(before)
        ]

    def subject(self, result: str) -> str:
        """Return the name of a result with the circumstance, for a message."""
        return f"{result} {self.circumstance.phrase.strip()}".strip()


def _differs(before: Any, after: Any) -> bool:
    """Whether a tensor or a list of texts has changed."""
    if isinstance(before, Tensor):
        is_equal = after.dtype == before.dtype and after.shape == before.shape and torch.equal(after.detach(), before)
        return not is_equal
    return isinstance(before, tuple) and list(before) != after


def peaked_rows(draw: Draw, shape: Sequence[int]) -> Tensor:
    """Draw rows of logits as sharply peaked as a language model's: a few tokens have most of the probability.

    The first and the last token, one of which marks the end of texts, are among the likely ones in each row.
    """
    vocabulary = shape[-1]
    likely = draw.integers(0, vocabulary - 1, *shape[:-1], 4)
    likely[..., 0], likely[..., 1] = 0, vocabulary - 1
    heights = 14 + 2 * draw.normal(*shape[:-1], 4)
    return (2 * draw.normal(*shape)).scatter(-1, likely, heights)


def _laid_out(tensor: Tensor, layout: str) -> Tensor:
    """Return a copy of a tensor with a layout in memory."""
    if layout == "slice" and tensor.dim():
        return slice_of_larger(tensor)
    if layout == "as drawn":
        return copy_with_strides(tensor)
    if layout == "transposed":
        reverse = tuple(reversed(range(tensor.dim())))
        return tensor.permute(reverse).clone(memory_format=torch.contiguous_format).permute(reverse)
    return tensor.clone()


@dataclass(frozen=True, eq=False)
class Inputs:
    """What an exercise's function takes.

    Attributes:
        sizes: The least and the largest ordinary value of each size.
        arguments: The arguments by name, in the order of the signature.
        words: The phrase of a message for each size that may be 1, such as {"texts": "one text"}.
        vocabulary: The size that may be as large as GPT-2's vocabulary; empty if there is none.
        extreme: The number near which, and near whose negative, entries may lie; None if the contract says nothing.
        rollout: Draws arguments from a recorded rollout, by name; the others are drawn as usual.
    """

    sizes: Mapping[str, tuple[int, int]]
    arguments: Mapping[str, Argument]
    words: Mapping[str, str] = field(default_factory=dict)
    vocabulary: str = ""
    extreme: float | None = None
    rollout: Callable[[Draw], Mapping[str, Any]] | None = None

    def all_circumstances(self) -> list[Circumstance]:
        """Return all circumstances that the contract admits, except extreme entries."""
        return [*self.size_circumstances(), *self.other_circumstances()]

    def size_circumstances(self) -> list[Circumstance]:
        """Return ordinary inputs, and one circumstance for each size that may be 1."""
        return [ORDINARY, *(Circumstance(f"for {phrase}", sizes={name: 1}) for name, phrase in self.words.items())]

    def other_circumstances(self) -> list[Circumstance]:
        """Return the circumstances of layout, dtype, equal entries, gradients, vocabulary and texts, and a rollout."""
        kinds = self.arguments.values()
        tensors = any(isinstance(kind, Floats | Tokens) for kind in kinds)
        found = [EQUAL_SIZES, SLICE, TRANSPOSED, DOUBLE, self.partly_repeated()] if tensors else []
        found.append(self.repeated())
        mask_kinds = {kind.kind for kind in kinds if isinstance(kind, Mask)}
        found += MASK_CIRCUMSTANCES if mask_kinds else ()
        found += COMPLETION_CIRCUMSTANCES if "completion" in mask_kinds else ()
        found += [END_TOKENS] if "attention" in mask_kinds else []
        if self._has_alike_floats():
            found.append(self.agreeing())
        if any(isinstance(kind, Texts) for kind in kinds):
            found += [*TEXT_CIRCUMSTANCES, self.many()]
        if any(isinstance(argument, Floats) and argument.differentiable for argument in self.arguments.values()):
            found += [WITH_GRADIENT, WITH_GRAPH]
        if self.vocabulary:
            found += [self.large_vocabulary(), *self.peaked_rows()]
        if self.rollout is not None:
            found.append(IN_A_ROLLOUT)
        return found

    def repeated(self) -> Circumstance:
        """Return the circumstance that all entries of the first axis are equal."""
        return Circumstance(f"for equal {next(iter(self.sizes))}", repeated=True)

    def partly_repeated(self) -> Circumstance:
        """Return the circumstance that two of several entries of the first axis are equal."""
        first = next(iter(self.sizes))
        return Circumstance(f"for {first} of which two are equal", sizes={first: _SOME}, partly_repeated=True)

    def agreeing(self) -> Circumstance:
        """Return the circumstance that tensors with the same axes agree in one entry of the first axis."""
        first = next(iter(self.sizes))
        phrase = f"for {first} of which one is the same in {' and '.join(self._floats())}"
        return Circumstance(phrase, sizes={first: _SOME}, agreeing=True)

    def gradient_circumstances(self) -> list[Circumstance]:
        """Return the circumstances in which gradients are compared: ordinary inputs, and large tensors of logits."""
        large = [self.large_vocabulary(), self.large_minibatch()] if self.vocabulary else []
        return [ORDINARY, ORDINARY, *large]

    def further_gradient_circumstances(self) -> list[Circumstance]:
        """Return those in which gradients are compared where the value is right, as another test requires.

        A formula may have the right value and another gradient where entries are equal: relu and abs have a corner
        there.
        """
        equal = [self.partly_repeated(), *([self.agreeing()] if self._has_alike_floats() else [])]
        return [SLICE, TRANSPOSED, DOUBLE, WITH_GRAPH, *equal]

    def _has_alike_floats(self) -> bool:
        """Return whether several float tensors have the same axes."""
        return len(self._floats()) > len({kind.axes for kind in self._floats().values()})

    def _floats(self) -> dict[str, Floats]:
        return {name: kind for name, kind in self.arguments.items() if isinstance(kind, Floats)}

    def many(self) -> Circumstance:
        """Return the circumstance of many entries along the first axis."""
        return Circumstance(f"for many {next(iter(self.sizes))}", sizes={next(iter(self.sizes)): _MANY})

    def large_vocabulary(self) -> Circumstance:
        """Return the circumstance of a vocabulary of GPT-2's size."""
        return Circumstance(f"for a vocabulary of {GPT2_VOCABULARY:,} tokens", sizes={self.vocabulary: GPT2_VOCABULARY})

    def peaked_rows(self) -> list[Circumstance]:
        """Return the circumstance of a language model's logits, for each vocabulary that the course's models have."""
        return [
            Circumstance(
                f"for peaked rows of logits as a language model gives them, of {size:,} tokens",
                sizes={self.vocabulary: size},
                entries=peaked_rows,
            )
            for size in (EMBEDDED_VOCABULARY, GPT2_VOCABULARY)
        ]

    def large_minibatch(self) -> Circumstance:
        """Return the circumstance of peaked rows of GPT-2's vocabulary for many positions, as a training has them."""
        first, *_, last = [name for name in self.sizes if name != self.vocabulary]
        sizes = {first: _OF_LARGE_MINIBATCH, last: _OF_LARGE_MINIBATCH, self.vocabulary: GPT2_VOCABULARY}
        return Circumstance("for a minibatch of more than a million logits", sizes=sizes, entries=peaked_rows)

    def extreme_entries(self) -> Circumstance:
        """Return the circumstance of entries near the extreme number and its negative."""
        assert self.extreme is not None, "the contract admits no extreme entries"
        return Circumstance(f"for entries near {self.extreme:,.0f} and {-self.extreme:,.0f}", extreme=self.extreme)

    def calls(self, draw: Draw, circumstances: Iterable[Circumstance], each: int = 1, again: int = 1) -> Iterator[Call]:
        """Draw calls in random order, then one with other values of the same sizes as an earlier one.

        Args:
            draw: The test's source of random values.
            circumstances: Those to draw inputs in.
            each: How many calls to draw in each.
            again: How many of the calls are made once more, with the same arguments, later on.
        """
        wanted = [circumstance for circumstance in circumstances for _ in range(each)]
        key = (self, draw.key, draw.state, tuple(wanted), again)
        return iter(calls_of_class().calls(key, draw, lambda: self._new_calls(draw, wanted, again)))

    def _new_calls(self, draw: Draw, wanted: Sequence[Circumstance], again: int) -> list[Call]:
        """See `calls`."""
        calls = [
            self.call(draw.numbered(number), circumstance)
            for number, circumstance in enumerate(draw.shuffled(wanted), 1)
        ]
        repeated = [
            replace(
                call, circumstance=replace(call.circumstance, phrase=f"{call.circumstance.phrase} in a second call")
            )
            for call in draw.sample(calls, min(again, len(calls)))
        ]
        alike = self._alike(draw.numbered(len(calls) + 1), draw.choice(calls))
        return [*calls, alike, *repeated]

    def _alike(self, draw: Draw, call: Call) -> Call:
        """Draw a call with other values in the circumstance and the sizes of a call."""
        phrase = f"{call.circumstance.phrase} after a call with other values of the same sizes"
        other = self.call(draw, replace(call.circumstance, sizes=call.sizes, equal_sizes=False, phrase=phrase))
        return replace(other, circumstance=replace(call.circumstance, phrase=phrase))

    def call(self, draw: Draw, circumstance: Circumstance = ORDINARY) -> Call:
        """Draw one call."""
        sizes = self._sizes(draw, circumstance)
        arguments = {name: _argument(draw, kind, sizes, circumstance) for name, kind in self.arguments.items()}
        if circumstance.rollout and self.rollout is not None:
            arguments |= self.rollout(draw)
        if circumstance.agreeing:
            first, *others = self._floats()
            for other in others:
                arguments[other][0] = arguments[first][0]
        if circumstance.end_tokens:
            self._put_end_tokens(arguments, sizes)
        return Call(circumstance, arguments, sizes)

    def _put_end_tokens(self, arguments: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
        """Write the vocabulary's last id to the padding and to the last real token of each text, in place."""
        (mask,) = [arguments[name] for name, kind in self.arguments.items() if isinstance(kind, Mask)]
        for name, kind in self.arguments.items():
            if isinstance(kind, Tokens):
                later = mask.flip(1).cumsum(1).flip(1) - mask.int()
                arguments[name][~mask | (later == 0)] = sizes[kind.vocabulary] - 1

    def _sizes(self, draw: Draw, circumstance: Circumstance) -> dict[str, int]:
        """Draw the sizes, which all differ unless the circumstance says otherwise."""
        if circumstance.equal_sizes:
            low = max(low for low, _ in self.sizes.values())
            return dict.fromkeys(self.sizes, draw.integer(low, low + 2))
        sizes: dict[str, int] = {}
        is_large = any(size > 1000 for size in circumstance.sizes.values())
        for name in draw.shuffled(list(self.sizes)):
            low, high = self.sizes[name]
            if is_large and name not in circumstance.sizes:
                low, high = min(low, _MAX_BESIDE_LARGE), _MAX_BESIDE_LARGE
            free = [size for size in range(low, high + 1) if size not in sizes.values()] or list(range(low, high + 1))
            sizes[name] = circumstance.sizes.get(name, draw.choice(free))
        return sizes


class CallCache:
    """Keeps drawn calls, because all answers of a class meet the same ones.

    Args:
        max_entries: The number of entries of all tensors that may be kept; the calls used longest ago are dropped.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries, self._entries = max_entries, 0
        self._kept: OrderedDict[Hashable, tuple[list[Call], DrawState]] = OrderedDict()

    def calls(self, key: Hashable, draw: Draw, make: Callable[[], list[Call]]) -> list[Call]:
        """Return the calls with a key, and leave the draw as it is after they were drawn.

        Args:
            key: All that decides what is drawn.
            draw: The source of random values.
            make: Draws the calls; it is called if none are kept.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            calls, draw.state = self._kept[key]
            return calls
        calls = make()
        self._kept[key] = calls, draw.state
        self._entries += sum(call.entries for call in calls)
        while self._entries > self._max_entries:
            _, (dropped, _) = self._kept.popitem(last=False)
            self._entries -= sum(call.entries for call in dropped)
        return calls


@cache
def calls_of_class() -> CallCache:
    """Return this process's cache of drawn calls."""
    return CallCache(_MAX_KEPT_ENTRIES)


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _argument(draw: Draw, kind: Argument, sizes: Mapping[str, int], circumstance: Circumstance) -> Any:
    if isinstance(kind, Number):
        return draw.number(kind.low, kind.high)
    if isinstance(kind, Size):
        return sizes[kind.name]
    if isinstance(kind, Choice):
        return draw.choice(kind.options)
    if isinstance(kind, Texts):
        return _texts(draw, kind, sizes[kind.axis], circumstance)
    shape = [sum(sizes[name.strip()] for name in axis.split("+")) for axis in kind.axes]
    if isinstance(kind, Mask):
        return _with_equal_rows(_mask(draw, kind, shape, circumstance), circumstance)
    if isinstance(kind, Tokens):
        return _with_equal_rows(draw.integers(0, sizes[kind.vocabulary] - 1, *shape), circumstance)
    entries = _with_equal_rows(_entries(draw, kind, shape, circumstance), circumstance)
    return entries.to(circumstance.dtype) + circumstance.level


def _entries(draw: Draw, kind: Floats, shape: Sequence[int], circumstance: Circumstance) -> Tensor:
    if circumstance.entries is not None:
        return circumstance.entries(draw, shape)
    entries = draw.normal(*shape)
    if circumstance.extreme is not None:
        return circumstance.extreme * entries.sign() + entries
    return kind.mean + kind.scale * entries


def _mask(draw: Draw, kind: Mask, shape: Sequence[int], circumstance: Circumstance) -> Tensor:
    texts, seq = shape
    mask = torch.zeros(texts, seq, dtype=torch.bool)
    for text in range(texts):
        side = draw.choice(("left", "right")) if circumstance.padding == "either" else circumstance.padding
        length = seq if side == "none" else draw.integer(1, seq)
        start = seq - length if side == "left" else 0
        has_prompt = kind.kind == "completion" and circumstance.prompts
        prompt_len = draw.integer(0, length - 1) if has_prompt else 0
        mask[text, start + prompt_len : start + length] = True
    if circumstance.no_completion and kind.kind == "completion":
        mask[[0, *(text for text in range(1, texts) if draw.integer(0, 2) == 0)]] = False
    return mask


def _texts(draw: Draw, kind: Texts, count: int, circumstance: Circumstance) -> tuple[str, ...]:
    if circumstance.texts is not None:
        return tuple(circumstance.texts(draw, count))
    texts = [kind.text(draw) for _ in range(count)]
    return tuple(texts[:1] * count if circumstance.repeated else texts)


def _with_equal_rows(tensor: Tensor, circumstance: Circumstance) -> Tensor:
    if circumstance.repeated and tensor.dim():
        return tensor[:1].expand_as(tensor).clone()
    if circumstance.partly_repeated and tensor.dim():
        return torch.cat([tensor[:1], tensor[:1], tensor[2:]])[: len(tensor)]
    return tensor
