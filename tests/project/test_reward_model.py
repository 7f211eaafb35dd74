"""Tests of the given half of the reward model: its head, and the residual stream of padded texts."""

import pytest
import torch
from part1_rlhf import HookedTransformerWithValueHead
from part2_preferences import RewardModel
from torch import nn
from transformers import GPT2LMHeadModel

from rlhf_course.errors import CourseError
from rlhf_course.rl.models import BridgeModel

ROWS = ("1111111", "1110000", "0000111", "1000000", "0000001", "0111111")
MASK = torch.tensor([[character == "1" for character in row] for row in ROWS])


@pytest.fixture
def model(tiny_folder) -> RewardModel:
    torch.manual_seed(0)
    return RewardModel.from_pretrained(str(tiny_folder))


def drawn_ids() -> torch.Tensor:
    """Token ids that are arbitrary at padding, too."""
    return torch.randint(0, 307, MASK.shape, generator=torch.Generator().manual_seed(1))


def test_the_stream_of_a_padded_text_is_that_of_transformers_with_positions_from_the_first_real_token(
    model, tiny_folder
):
    model.double()
    reference = GPT2LMHeadModel.from_pretrained(tiny_folder).eval().double()
    ids, positions = drawn_ids(), (MASK.long().cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        stream = model.final_residual(ids, MASK)
        norm = reference.transformer.ln_f
        scaled = reference.transformer(ids, attention_mask=MASK, position_ids=positions).last_hidden_state
    assert stream.dtype == torch.float64
    assert torch.allclose((norm.weight * stream + norm.bias)[MASK], scaled[MASK], rtol=1e-9, atol=1e-9)


def test_the_stream_of_a_padded_text_is_that_of_the_text_alone_for_left_and_right_padding_in_one_batch(model):
    ids = drawn_ids()
    with torch.no_grad():
        padded = model.final_residual(ids, MASK)
        for row, mask in enumerate(MASK):
            own = ids[row, mask][None]
            alone = model.final_residual(own, torch.ones_like(own, dtype=torch.bool))[0]
            assert torch.allclose(padded[row, mask], alone, atol=1e-5)


def test_rewards_do_not_depend_on_padding_and_on_the_ids_there(model):
    ids = drawn_ids()
    with torch.no_grad():
        rewards = model(ids, MASK)
        assert torch.allclose(rewards, model(ids.masked_fill(~MASK, 0), MASK), atol=1e-5)
        for row, mask in enumerate(MASK):
            own = ids[row, mask][None]
            assert torch.allclose(rewards[row], model(own, torch.ones_like(own, dtype=torch.bool))[0], atol=1e-4)


def test_a_subclass_with_a_reward_head_has_no_value_head_and_the_other_way_round(model, tiny_folder):
    assert isinstance(model.reward_head, nn.Linear) and model.value_head is None
    other = HookedTransformerWithValueHead.from_pretrained(str(tiny_folder))
    assert other.reward_head is None and isinstance(other.value_head, nn.Sequential)
    state = {name for name, _ in model.named_parameters()}
    assert {"reward_head.weight", "reward_head.bias"} <= state and not any("value_head" in name for name in state)


def test_new_reward_heads_have_weights_of_standard_deviation_one_over_the_root_of_the_width_plus_1(model):
    for width in (3, 24, 500):
        heads = [model.make_reward_head(width) for _ in range(2000 // width + 2)]
        weights = torch.cat([head.weight.detach().flatten() for head in heads])
        assert abs(float(weights.std()) * (width + 1) ** 0.5 - 1) < 0.1
        assert not any(bool(head.bias.any()) for head in heads)


def test_a_cast_reaches_the_reward_head_and_its_state_loads_elsewhere(model, tiny_folder):
    ids = drawn_ids()
    other = RewardModel.from_pretrained(str(tiny_folder))
    with torch.no_grad():
        other.load_state_dict(model.state_dict())
        assert torch.equal(other(ids, MASK), model(ids, MASK))
        for dtype in (torch.float64, torch.bfloat16):
            assert model.to(dtype)(ids, MASK).dtype == dtype


def test_a_row_without_a_real_token_is_named(model):
    mask = MASK.clone()
    mask[4] = False
    with pytest.raises(ValueError, match="row 4 has no real token"):
        model(drawn_ids(), mask)


def test_a_head_that_is_no_module_is_refused_with_the_name_of_the_method(tiny_bridge):
    class WithoutHead(BridgeModel):
        def make_reward_head(self, d_model):
            return None

    with pytest.raises(CourseError, match="make_reward_head returned None, should return the reward head"):
        WithoutHead(tiny_bridge)
