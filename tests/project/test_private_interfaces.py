"""Tests that the libraries' undocumented interfaces are those that we use, and that the plain way gives the same."""

import pytest
import torch
from part1_rlhf import RLHFTrainer
from torch import nn
from transformer_lens.model_bridge.generalized_components import JointQKVAttentionBridge, NormalizationBridge

from rlhf_course import load_model
from rlhf_course.rl import private_interfaces
from rlhf_course.rl.private_interfaces import FusedAttention, FusedNorm, TensorContent
from rlhf_course.rl.ref_logits import RecomputedLogits

IDS = torch.tensor([[0, 5, 40, 7, 300, 2], [0, 9, 9, 200, 1, 17]])


def attentions(bridge):
    return [module for module in bridge.modules() if isinstance(module, JointQKVAttentionBridge)]


def test_the_librarys_attention_has_the_methods_that_are_replaced_and_called():
    assert private_interfaces.attention_is_known()


def test_the_attentions_private_methods_compute_what_the_fused_attention_needs(tiny_bridge):
    attention = attentions(tiny_bridge)[0]
    assert type(attention) is FusedAttention and not attention.compatibility_mode
    flat = torch.randn(2, 5, 24)
    q, _, _, *sizes = attention._reshape_qkv_to_heads(flat, flat, flat, 3, 3)
    assert sizes == [2, 5, 8]
    assert torch.equal(q, flat.view(2, 5, 3, 8).transpose(1, 2))
    assert torch.equal(attention._reshape_attn_output(q, 2, 5, 3, 8), flat)
    assert [tensor is q for tensor in attention._update_kv_cache(q, q)] == [True, True]
    projection = attention.original_component.c_proj
    assert torch.allclose(attention._apply_output_projection(flat), projection(flat), atol=1e-6)


def test_an_attention_of_another_version_is_left_alone_and_gives_the_same_logits(tiny_folder, tiny_bridge, monkeypatch):
    monkeypatch.setitem(private_interfaces._ATTENTION_METHODS, "_update_kv_cache", "k v cache")
    other = load_model(str(tiny_folder))
    assert {type(attention) for attention in attentions(other)} == {JointQKVAttentionBridge}
    with torch.no_grad():
        assert torch.allclose(other(IDS), tiny_bridge(IDS), atol=1e-5)


def test_a_module_whose_class_was_exchanged_holds_what_it_held(tiny_bridge):
    for kind, base in ((FusedAttention, JointQKVAttentionBridge), (FusedNorm, NormalizationBridge)):
        assert kind.__init__ is base.__init__ and kind.__bases__ == (base,)
        assert any(type(module) is kind for module in tiny_bridge.modules())


def test_a_norm_of_the_library_is_pytorchs(tiny_bridge):
    norm = next(module for module in tiny_bridge.modules() if type(module) is FusedNorm)
    assert type(norm.original_component) is nn.LayerNorm
    states = torch.randn(2, 5, 24)
    assert torch.allclose(norm(states), NormalizationBridge.forward(norm, states), atol=1e-5)


WRITES = {
    "in place": lambda tensor: tensor.mul_(2),
    "by a view": lambda tensor: tensor[0].zero_(),
    "by a detached tensor": lambda tensor: tensor.detach().add_(1),
    "by an index": lambda tensor: tensor.__setitem__((0, 0), 1.0),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_tensor_counts_its_writes(write):
    tensor = torch.randn(2, 3)
    content = TensorContent.of(tensor)
    assert content.is_all_of(tensor) and content.is_all_of(tensor.detach())
    WRITES[write](tensor)
    assert not content.is_all_of(tensor)


def test_a_content_does_not_keep_memory_alive_and_is_not_found_in_other_memory():
    tensor = torch.randn(2, 3)
    content = TensorContent.of(tensor)
    assert not content.is_all_of(tensor.clone()) and not content.is_all_of(tensor[:1])
    assert not content.storage.expired()
    del tensor
    assert content.storage.expired()
    assert not any(content.is_all_of(torch.randn(2, 3)) for _ in range(20))


def test_where_writes_are_not_counted_the_memory_keeps_the_same_logits(small_args, monkeypatch):
    memories = []
    for counted in (True, False):
        if not counted:
            monkeypatch.setattr(TensorContent, "of", lambda tensor: None)
        trainer = RLHFTrainer(small_args())
        torch.manual_seed(1)
        memories.append(trainer._checked_rollout())
    assert [isinstance(memory._ref_logits, RecomputedLogits) for memory in memories] == [True, False]
    assert torch.allclose(*(memory.ref_logits for memory in memories), atol=1e-5)
