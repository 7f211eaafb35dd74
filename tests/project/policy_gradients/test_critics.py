"""Linear critics on frozen states: which states they see, and what they fit."""

import pytest
import torch

from rlhf_course import fit_linear_critic, load_model, token_states


@pytest.fixture(scope="module")
def model():
    return load_model("embedded")


def test_a_token_does_not_change_the_state_in_which_it_was_chosen_and_changes_the_later_ones(model):
    ids = model.to_tokens("This is a good film.")
    changed = ids.clone()
    changed[0, -2] += 1  # the second to last of three generated tokens
    before, after = (token_states(model, texts, gen_len=3)[0] for texts in (ids, changed))
    assert before.shape == (3, model.cfg.d_model)
    assert torch.allclose(before[:2], after[:2], atol=1e-5)
    assert not torch.allclose(before[2], after[2], atol=1e-2)


def test_more_texts_than_run_at_once_have_the_states_that_each_has_alone(model):
    ids = torch.randint(3, 3000, (300, 4), generator=torch.Generator().manual_seed(0)).to(model.cfg.device)
    together = token_states(model, ids, gen_len=2)
    assert together.shape == (300, 2, model.cfg.d_model)
    assert torch.allclose(together[299:], token_states(model, ids[299:], gen_len=2), atol=1e-4)


def test_a_reward_that_is_linear_in_the_features_is_predicted_in_every_state():
    generator = torch.Generator().manual_seed(0)
    weights = torch.tensor([1.0, -2.0, 0.5])
    features = torch.randn(50, 1, 3, generator=generator).expand(50, 4, 3)
    rewards = features[:, 0] @ weights
    assert torch.allclose(fit_linear_critic(features, rewards, decay=1e-6), weights, atol=1e-4)


def test_a_larger_decay_gives_smaller_weights():
    features = torch.randn(50, 4, 3, generator=torch.Generator().manual_seed(0))
    rewards = features.mean(1).sum(1)
    small, large = (fit_linear_critic(features, rewards, decay).norm() for decay in (1.0, 1000.0))
    assert large < small
