"""Tests that every speed-up that is on by default computes the same as the plain code."""

import os
import subprocess
import sys

import pytest
import torch
from part1_rlhf import RLHFTrainer
from torch import nn
from transformers import GPT2LMHeadModel

from rlhf_course import get_samples, load_model
from rlhf_course.checks.core import preserved_state
from rlhf_course.paths import REPOSITORY
from rlhf_course.rl import fused, matmul, models, schedule
from rlhf_course.rl.fused import TanhGELU
from rlhf_course.rl.matmul import onednn_matmul
from rlhf_course.rl.models import bridge_parameters
from rlhf_course.rl.private_interfaces import FusedAttention, FusedNorm

IDS = torch.tensor([[0, 5, 40, 7, 300, 2], [0, 9, 9, 200, 1, 17], [3, 3, 250, 8, 0, 60]])


@pytest.mark.parametrize(("own", "expected"), [({}, "PASSIVE 1000"), ({"GOMP_SPINCOUNT": "7"}, "PASSIVE 7")])
def test_the_course_sets_how_threads_wait_before_torch_loads_unless_the_user_did(own, expected):
    script = """
import os, sys
import rlhf_course
assert "torch" not in sys.modules
print(os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"])
"""
    unset = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    run = subprocess.run([sys.executable, "-c", script], env=unset | own, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == expected


HOOKS = [
    "blocks.0.attn.hook_pattern",
    "blocks.1.attn.hook_attn_scores",
    "blocks.1.ln1.hook_normalized",
    "ln_final.hook_scale",
]


@pytest.fixture
def plain(monkeypatch):
    """Make models and optimizers without any of the speed-ups during the call."""

    def make(maker):
        with monkeypatch.context() as patch:
            for fuse in ("fuse_activations", "fuse_norms", "fuse_attention"):
                patch.setattr(models, fuse, lambda bridge: None)
            patch.setattr(schedule, "fuse_optimizer", lambda optimizer: None)
            patch.setattr(matmul, "_onednn_is_exact_and_quicker", lambda: False)
            return maker()

    return make


@pytest.fixture
def pair(plain, tiny_folder):
    """A bridge with the speed-ups and one without, with the same weights."""
    return load_model(str(tiny_folder)), plain(lambda: load_model(str(tiny_folder)))


def gradients(bridge) -> list[torch.Tensor]:
    bridge(IDS).log_softmax(-1)[:, :-1].gather(-1, IDS[:, 1:, None]).sum().backward()
    return [parameter.grad for parameter in bridge_parameters(bridge) if parameter.requires_grad]


def test_the_quick_model_is_quick_and_the_plain_one_plain(pair):
    quick, slow = pair
    for kind in (FusedAttention, FusedNorm, TanhGELU):
        assert [any(isinstance(module, kind) for module in bridge.modules()) for bridge in (quick, slow)] == [
            True,
            False,
        ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_activation_and_its_gradient_are_pytorchs(dtype):
    x = torch.cat([torch.linspace(-30, 30, 4001), torch.tensor([0, -1e4, 1e4, -1e15, 1e15])]).to(dtype).requires_grad_()
    weights = torch.linspace(-2, 2, len(x), dtype=dtype)
    results = []
    for function in (TanhGELU(), lambda x: nn.functional.gelu(x, approximate="tanh")):
        output = function(x)
        results.append((output.detach(), *torch.autograd.grad((output * weights).sum(), x)))
        with torch.no_grad():
            assert torch.allclose(function(x), output, atol=1e-6)
    for actual, expected in zip(*results, strict=True):
        assert torch.allclose(actual, expected, atol=1e-5, rtol=1e-6)


def test_logits_and_gradients_are_those_of_the_plain_model(pair):
    quick, slow = pair
    assert torch.allclose(quick(IDS), slow(IDS), atol=1e-5)
    for actual, expected in zip(gradients(quick), gradients(slow), strict=True):
        assert torch.allclose(actual, expected, atol=1e-5, rtol=1e-4)


def test_padded_texts_get_the_logits_of_the_plain_model(pair):
    quick, slow = pair
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1]])
    seen = mask.bool()
    with torch.no_grad():
        assert torch.allclose(quick(IDS, attention_mask=mask)[seen], slow(IDS, attention_mask=mask)[seen], atol=1e-5)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_still_sees_and_changes_what_a_kernel_would_keep_to_itself(pair, hook):
    changed, seen = [], []
    for bridge in pair:
        logits = bridge.run_with_hooks(IDS, fwd_hooks=[(hook, lambda value, hook: seen.append(value) or value * 9)])
        changed.append(logits)
    assert torch.allclose(*seen, atol=1e-5) and torch.allclose(*changed, atol=1e-5)
    with torch.no_grad():
        assert not torch.allclose(changed[0], pair[0](IDS), atol=1e-3)
    patterns = [bridge.run_with_cache(IDS)[1]["blocks.0.attn.hook_pattern"] for bridge in pair]
    assert torch.allclose(*patterns, atol=1e-6)


def test_a_cache_that_is_read_in_several_parts_gives_the_logits_of_one_pass(pair):
    from transformers import DynamicCache

    for bridge in pair:
        cache, parts = DynamicCache(), []
        with torch.no_grad():
            for part in (IDS[:, :3], IDS[:, 3:5], IDS[:, 5:]):
                parts.append(bridge.original_model(part, past_key_values=cache, use_cache=True).logits)
            assert torch.allclose(torch.cat(parts, dim=1), bridge(IDS), atol=1e-5)


def test_samples_are_those_of_a_plain_loop_without_a_cache(pair):
    _, slow = pair
    torch.manual_seed(5)
    quick_ids, _ = get_samples(pair[0], "There is", batch_size=7, gen_len=9, top_k=6, temperature=0.9)
    torch.manual_seed(5)
    ids = slow.to_tokens("There is").expand(7, -1)
    with torch.no_grad():
        for _ in range(9):
            top = slow(ids)[:, -1].topk(6)
            chosen = torch.multinomial((top.values / 0.9).softmax(-1), 1)
            ids = torch.cat([ids, top.indices.gather(-1, chosen)], dim=1)
    assert torch.equal(quick_ids, ids)


@pytest.mark.parametrize("maker", [torch.optim.Adam, torch.optim.AdamW])
def test_the_fused_optimizer_takes_the_plain_ones_steps(maker):
    finals = []
    for fuse in (fused.fuse_optimizer, lambda optimizer: None):
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3))
        optimizer = maker(
            [{"params": layers[0].parameters(), "lr": 1e-2}, {"params": layers[1].parameters()}], maximize=True
        )
        fuse(optimizer)
        for step in range(6):
            optimizer.zero_grad()
            layers(torch.full((2, 5), float(step))).tanh().sum().backward()
            optimizer.step()
        finals.append(torch.cat([parameter.flatten() for parameter in layers.parameters()]))
        assert all(group["fused"] is (True if not finals[1:] else None) for group in optimizer.param_groups)
    assert torch.allclose(*finals, atol=1e-6)


@pytest.mark.parametrize(
    "choice", [{"fused": True}, {"fused": False}, {"foreach": True}, {"capturable": False, "amsgrad": True}]
)
def test_how_the_learner_lets_the_optimizer_step_is_accepted(small_args, monkeypatch, choice):
    optimizers = []

    def get_optimizer(model, base_lr, head_lr):
        groups = [
            {"params": model.get_base_model_trainable_params(), "lr": base_lr},
            {"params": model.get_value_head_params(), "lr": head_lr},
        ]
        optimizers.append(torch.optim.AdamW(groups, maximize=True, **choice))
        return optimizers[-1]

    monkeypatch.setattr(schedule, "imported_answer", lambda name: get_optimizer)
    trainer = RLHFTrainer(small_args())
    chosen = {key: value for key, value in choice.items() if value is not None}
    assert chosen.items() <= optimizers[0].param_groups[0].items()
    trainer.learning_phase(trainer.rollout_phase())
    assert trainer.step == 6


def test_rollout_and_objective_are_those_of_the_plain_loop_on_the_library_as_it_comes(small_args, monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    from plain_loop import PlainLoop

    args = small_args(kl_coef=0.7, ent_coef=0.02, vf_coef=0.3)
    trainer, loop = RLHFTrainer(args), PlainLoop(args)
    loop.head.load_state_dict(trainer.model.value_head.state_dict())
    actual = trainer.rollout_phase()
    expected = loop.rollout_phase(actual.sample_ids)
    for name in ("logprobs", "advantages", "values", "ref_logits"):
        assert torch.allclose(getattr(actual, name), getattr(expected, name), atol=1e-5), name
    minibatch = actual.get_minibatches()[0]
    actual, expected = trainer.compute_rlhf_objective(minibatch), loop.objective(minibatch)
    assert torch.allclose(actual, expected, atol=1e-5)
    actual.backward()
    expected.backward()
    trained = trainer.model.get_base_model_trainable_params() + trainer.model.get_value_head_params()
    for actual, expected in zip(trained, loop.parameters, strict=True):
        assert torch.allclose(actual.grad, expected.grad, atol=1e-5)


def test_a_fused_step_changes_the_parameters_as_a_plain_one_does(tiny_folder):
    """The weights of queries, keys and values are split from one weight, and would otherwise share its memory."""
    finals = []
    for fuse in (True, False):
        bridge = load_model(str(tiny_folder))
        trained = [parameter for parameter in bridge_parameters(bridge) if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=0.1, fused=fuse)
        for number, parameter in enumerate(trained):
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
        optimizer.step()
        finals.append([parameter.detach() for parameter in trained])
    for actual, expected in zip(*finals, strict=True):
        assert torch.allclose(actual, expected, atol=1e-6)


def test_a_phase_gives_the_metrics_of_a_plain_one(small_args, plain, tmp_path):
    """Only one phase is compared: in later ones a rounding error may change a sampled token."""
    quick = RLHFTrainer(small_args(total_phases=1)).train(tmp_path / "quick", show=False).rows[0]
    slow = plain(lambda: RLHFTrainer(small_args(total_phases=1))).train(tmp_path / "slow", show=False).rows[0]
    del quick["seconds"], slow["seconds"]
    assert quick == pytest.approx(slow, abs=1e-4, rel=1e-4)


def test_the_quick_model_still_agrees_with_transformers(tiny_folder, pair):
    reference = GPT2LMHeadModel.from_pretrained(tiny_folder).eval()
    with torch.no_grad():
        assert torch.allclose(pair[0](IDS), reference(IDS).logits, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_under_the_setting_for_onednn_is_pytorchs(monkeypatch, masked):
    monkeypatch.setattr(matmul, "_onednn_is_exact_and_quicker", lambda: True)
    inputs = [torch.randn(2, 3, 6, 8, requires_grad=True) for _ in range(3)]
    mask = torch.ones(2, 1, 6, 6, dtype=torch.bool).tril() if masked else None
    results = []
    for attention, library in (
        (fused.scaled_dot_product_attention, onednn_matmul),
        (
            lambda *inputs, is_causal: nn.functional.scaled_dot_product_attention(*inputs, is_causal=is_causal),
            matmul.default_matmul,
        ),
    ):
        with library():
            output = attention(*inputs, mask, is_causal=not masked)
            results.append([output, *torch.autograd.grad(output.pow(3).sum(), inputs)])
    assert "DefaultMatmulAttention" in type(results[0][0].grad_fn).__name__
    for actual, expected in zip(*results, strict=True):
        assert torch.allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 5, 7), (96, 64, 96), (1024, 192, 768), (33, 1031, 129)])
def test_quick_products_are_as_exact_as_float32_is(shape):
    rows, inner, columns = shape
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    with onednn_matmul():
        error = (left @ right).double() - left.double() @ right.double()
    assert error.norm() < 1e-6 * (left.double() @ right.double()).norm()


def test_a_library_whose_products_round_is_left_alone(monkeypatch):
    monkeypatch.setattr(matmul, "_LARGEST_ERROR", 0.0)
    assert not matmul._onednn_is_exact_and_quicker.__wrapped__()


def test_the_setting_for_products_is_put_back(monkeypatch):
    monkeypatch.setattr(matmul, "_onednn_is_exact_and_quicker", lambda: True)
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    with pytest.raises(RuntimeError, match="from within"), onednn_matmul():
        assert setting.fp32_precision == "bf16"
        raise RuntimeError("from within")
    assert setting.fp32_precision == before


def test_blocks_of_several_threads_may_end_in_any_order(monkeypatch):
    monkeypatch.setattr(matmul, "_onednn_is_exact_and_quicker", lambda: True)
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    first, second = onednn_matmul(), onednn_matmul()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert setting.fp32_precision == "bf16", "the second block still runs"
    with matmul.default_matmul():
        assert setting.fp32_precision == "none"
    second.__exit__(None, None, None)
    assert setting.fp32_precision == before


def test_a_run_may_end_while_an_answer_is_checked_which_keeps_no_setting_of_the_run(monkeypatch):
    monkeypatch.setattr(matmul, "_onednn_is_exact_and_quicker", lambda: True)
    setting = torch.backends.mkldnn.matmul
    before, run = setting.fp32_precision, onednn_matmul()
    run.__enter__()
    with preserved_state():
        run.__exit__(None, None, None)
    assert setting.fp32_precision == before
