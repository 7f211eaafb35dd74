"""The relation of a wrong result to the right one is found, and none is named that the numbers do not show."""

import math

import pytest
import torch

from rlhf_course.checks.relations import find_relation
from rlhf_course.grading.judge.compare import ATOL, RTOL, expect_form, expect_values, mend
from rlhf_course.grading.judge.text_relations import text_relation

WANTED = torch.tensor([[0.5, -1.25, 2.0, 0.75], [1.5, 3.0, -0.5, 0.25], [-2.0, 1.0, 0.125, 4.0]], dtype=torch.float64)


def scaled_difference(values, reference, coef):
    return coef * (2 * values - reference)


EXACT = {"values": WANTED, "reference": WANTED.flip(0).sqrt().nan_to_num(0.3), "coef": 0.7}
SCALED = scaled_difference(**EXACT)


@pytest.mark.parametrize(
    ("got", "relation"),
    [
        (-WANTED, "has the wrong sign"),
        (0 * WANTED, "is zero, and should not be"),
        (WANTED * float("nan"), "is not finite (nan or inf)"),
        (2 * WANTED, "is twice what it should be"),
        (WANTED / 0.6931471805599453, "is in bits, and should be in nats: use the natural logarithm"),
        (1.37 * WANTED, "is too large throughout, by one factor"),
        (WANTED - 1, "is too small throughout, by one amount"),
        (WANTED.roll(-1, 1), "is shifted by one place to the front along dimension 1"),
        (WANTED.roll(1, 1), "is shifted by one place to the back along dimension 1"),
        (WANTED.flip(0), "is in reverse order along dimension 0"),
        (WANTED.bfloat16().double() + 0, ""),
        (torch.cat([WANTED[:, :-1], 9 * torch.ones(3, 1)], 1), "is wrong only in the last entry along dimension 1"),
        (torch.cat([9 * torch.ones(3, 1), WANTED[:, 1:]], 1), "is wrong only in the first entry along dimension 1"),
        (WANTED.cos(), ""),
    ],
)
def test_a_relation_of_the_numbers_alone_is_found(got, relation):
    if relation == "" and torch.equal(got, WANTED):
        return  # these numbers are exact in half precision: nothing is wrong
    assert find_relation(got, WANTED) == relation


@pytest.mark.parametrize(
    ("got", "relation"),
    [
        (SCALED / 0.7, "is right but for `coef`, which is not used"),
        (scaled_difference(EXACT["reference"], EXACT["values"], 0.7), "is right with `reference` and `values` swapped"),
        (3 * SCALED, "is the size of `values` along dimension 0 times what it should be"),
        (SCALED / 4, "is what it should be divided by the size of `values` along dimension 1"),
        (0.7 * SCALED, "is `coef` times what it should be"),
    ],
)
def test_a_relation_to_an_argument_is_found(got, relation):
    found = find_relation(got, SCALED, scaled_difference, EXACT)
    # Both tensors have the same sizes, so either name is right.
    assert found.replace("`reference`", "`values`") == relation.replace("`reference`", "`values`")


def test_an_argument_that_multiplies_the_result_in_place_of_standing_inside_is_found():
    def softplus_of_multiple(values, coef):
        return torch.nn.functional.softplus(coef * values)

    exact = {"values": WANTED, "coef": 0.3}
    wanted, got = softplus_of_multiple(**exact), 0.3 * softplus_of_multiple(WANTED, 1.0)
    found = find_relation(got, wanted, softplus_of_multiple, exact)
    assert found == "is `coef` times the right result for a `coef` of 1, so `coef` belongs inside the formula"


def test_no_place_is_named_where_large_entries_hide_which_of_the_others_are_wrong():
    wanted = torch.tensor([0.6, 0.4, 11961.0, 11962.0, 0.9], dtype=torch.float64)
    got = torch.tensor([0.3, 0.2, 11961.0, 11962.0, 0.7], dtype=torch.float64)
    assert find_relation(got, wanted) == ""
    assert find_relation(wanted + 0.5, wanted) == "is too large throughout, by one amount"


def test_rounding_to_half_precision_is_told_from_other_small_differences():
    wanted = WANTED + 0.001234
    assert find_relation(wanted.half().double(), wanted) == "is right, but rounded to half precision"
    assert find_relation(wanted + 0.01 * WANTED.cos(), wanted) == ""


def test_a_value_in_another_container_dtype_or_shape_is_mended_and_costs_the_form_alone():
    wanted = torch.tensor([1.0, 2.0, 3.0])
    for got in ([1, 2, 3], wanted.long(), wanted[:, None], [torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)]):
        assert torch.equal(mend(got, wanted.shape), wanted.double())
        expect_values(got, wanted, "The reward")
        with pytest.raises(AssertionError, match="The reward should"):
            expect_form(got, wanted, "The reward")
    expect_form(wanted, wanted, "The reward")


@pytest.mark.parametrize("got", [None, "text", object(), {"a": 1}, [], [None], 10**4000, [[1], [2, 3]]])
def test_what_cannot_be_mended_is_named_by_its_type(got):
    with pytest.raises(AssertionError, match="The reward should be a tensor"):
        expect_values(got, torch.tensor(1.0), "The reward")


def test_a_message_holds_no_number_of_the_inputs_or_the_result():
    wanted = torch.tensor([[0.12345, 7.6543], [3.21, 4.5678]], dtype=torch.float64)
    with pytest.raises(AssertionError) as error:
        expect_values(wanted + torch.tensor([[5.4321, 0.0], [0.0, 0.0]]), wanted, "The reward for one text")
    assert not any(digits in str(error.value) for digits in ("0.12", "7.65", "5.43", "3.21", "4.56"))


def test_a_result_of_another_size_is_not_computed_with():
    wanted = torch.tensor([1.0, 2.0, 3.0])
    large = torch.zeros(2**20, dtype=torch.uint8)
    assert mend(large, wanted.shape) is large, "no copy in double precision is made"
    assert mend([large] * 100, wanted.shape) is None
    with pytest.raises(AssertionError, match="has another size than it should have along dimension 0"):
        expect_values(large, wanted, "The reward")


def test_a_few_small_counts_that_happen_to_be_equal_are_not_called_moved():
    wanted = torch.tensor([1.0, 1.0, 2.0, 2.0], dtype=torch.float64)
    assert find_relation(wanted.roll(1) * 0 + torch.tensor([9.0, 1.0, 1.0, 2.0]), wanted) == ""


def test_rounding_to_decimals_and_to_single_precision_are_told_from_other_small_differences():
    wanted = WANTED.cos()
    assert find_relation(wanted.round(decimals=4), wanted) == "is right, but rounded to a few decimals"
    assert find_relation(wanted.float().double(), wanted) == "is right, but only up to single precision"
    assert find_relation(wanted + 0.003 * WANTED.sin(), wanted) == ""


def padded_texts():
    """Return a mask of 12 texts, the first five of which are padded on the left and the next four on the right."""
    mask = torch.ones(12, 6, dtype=torch.bool)
    mask[:5, :2] = False
    mask[5:9, 4:] = False
    return {"mask": mask, "ids": torch.ones(12, 6, dtype=torch.long)}


@pytest.mark.parametrize(
    ("texts", "relation"),
    [
        (slice(0, 5), "is wrong only for texts whose mask is False at the first position"),
        (slice(5, 9), "is wrong only for texts whose mask is False at the last position"),
        (slice(5, 8), "is wrong only for texts whose mask is False at the last position"),
        (slice(3, 7), ""),
        (slice(0, 12), ""),
        (slice(0, 1), ""),
    ],
)
def test_the_texts_that_a_result_is_wrong_for_are_named_by_what_they_alone_have(texts, relation):
    wanted = torch.arange(12.0, dtype=torch.float64)
    got = wanted.clone()
    got[texts] += 1
    assert text_relation(got, wanted, padded_texts()) == relation


def test_texts_that_hold_one_token_id_are_named_by_it():
    arguments = padded_texts()
    arguments["ids"][4:10, 3] = 0
    wanted = torch.arange(12.0, dtype=torch.float64)
    got = wanted + (torch.arange(12) // 2 % 5).ne(0) * (torch.arange(12) >= 4) * (torch.arange(12) < 10)
    assert text_relation(got, wanted, arguments) == (
        "is wrong only for texts that have the token id 0 where the mask is True"
    )


def test_no_texts_are_named_where_a_call_has_too_few():
    arguments = {name: value[3:9] for name, value in padded_texts().items()}
    wanted = torch.arange(6.0, dtype=torch.float64)
    assert text_relation(wanted + arguments["mask"][:, 0], wanted, arguments) == ""


@pytest.mark.parametrize("got", [0.0, 1.0, 1.00009, 1.001, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("wanted", [0.0, 1.0, math.inf, -math.inf, math.nan])
def test_values_are_close_where_allclose_says_so(got, wanted):
    got, wanted = torch.tensor([1.0, got]), torch.tensor([1.0, wanted], dtype=torch.float64)
    is_refused = False
    try:
        expect_values(got, wanted, "It")
    except AssertionError:
        is_refused = True
    assert is_refused != torch.allclose(got.double(), wanted, rtol=RTOL, atol=ATOL)
