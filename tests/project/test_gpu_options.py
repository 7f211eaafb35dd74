"""Tests of the GPU options `+bf16` and `+compile` after a model's name, on the CPU."""

import math

import pytest
import torch
from part1_rlhf import RLHFTrainer

from rlhf_course import RLHFArgs, get_samples, load_model
from rlhf_course.errors import CourseError
from rlhf_course.notebook.run_cost import estimate
from rlhf_course.rl import gpu
from rlhf_course.rl.gpu import check_options, compile_mlps, split_name, use_bf16
from rlhf_course.rl.models import bridge_parameters

IDS = torch.tensor([[0, 5, 40, 7, 300, 2], [0, 9, 9, 200, 1, 17], [3, 3, 250, 8, 0, 60]])


@pytest.fixture
def a_gpu(monkeypatch):
    """Allow the GPU options on the CPU, with a compiler backend that compiles nothing."""
    monkeypatch.setattr("rlhf_course.rl.models.check_options", lambda *_: None)
    monkeypatch.setitem(gpu.OPTIONS, "compile", lambda bridge: compile_mlps(bridge, backend="eager"))
    yield
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("name", "plain", "words"),
    [
        ("gpt2-small", "gpt2-small", []),
        ("gpt2-small+bf16", "gpt2-small", ["bf16"]),
        ("a/b+compile+bf16", "a/b", ["compile", "bf16"]),
    ],
)
def test_words_are_told_from_the_models_name(name, plain, words):
    assert split_name(name) == (plain, words)


def test_a_folder_may_have_a_plus_in_its_name(tmp_path):
    (tmp_path / "model+bf16").mkdir()
    assert split_name(str(tmp_path / "model+bf16")) == (str(tmp_path / "model+bf16"), [])


@pytest.mark.parametrize("name", ["embedded+fp8", "embedded+", "embedded+bf16+"])
def test_an_unknown_word_is_named_with_those_that_are_known(name):
    with pytest.raises(CourseError, match=r"base_model 'embedded\+.*': what follows a \+ takes bf16 or compile, got '"):
        load_model(name)


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_a_device_without_use_for_them_refuses_before_a_model_is_looked_for(device, monkeypatch):
    monkeypatch.setattr("rlhf_course.rl.models.usable_device", torch.device)  # as if the machine had each of them
    with pytest.raises(
        CourseError, match=f"bf16 and compile need a CUDA GPU, and the device is {device}: use 'nobody/has-this'"
    ):
        load_model("nobody/has-this+bf16+compile", device=device)


def test_an_old_gpu_refuses_bf16_and_compiles(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(CourseError, match="this GPU has no bfloat16: use 'gpt2-small'"):
        check_options("gpt2-small+bf16", ["bf16"], torch.device("cuda"))
    check_options("gpt2-small+compile", ["compile"], torch.device("cuda"))


def test_bf16_rounds_products_inside_layers_and_nothing_between_them(tiny_folder):
    bridge, seen = load_model(str(tiny_folder)), {}
    use_bf16(bridge)
    names = ["blocks.0.mlp.hook_out", "blocks.0.hook_out", "blocks.1.hook_out", "ln_final.hook_normalized"]

    def note(value, hook):
        seen[hook.name] = value.dtype

    logits = bridge.run_with_hooks(IDS, fwd_hooks=[(name, note) for name in names])
    assert seen.pop("blocks.0.mlp.hook_out") == torch.bfloat16
    assert set(seen.values()) == {torch.float32} and len(seen) == 3
    assert logits.dtype == torch.float32
    assert {parameter.dtype for parameter in bridge_parameters(bridge)} == {torch.float32}


def test_bf16_moves_logits_a_little_and_reaches_every_parameter(tiny_folder):
    exact, rounded = load_model(str(tiny_folder)), load_model(str(tiny_folder))
    use_bf16(rounded)
    apart = (exact(IDS) - rounded(IDS)).abs().max()
    assert 0 < apart < 0.02
    rounded(IDS).log_softmax(-1).pow(2).sum().backward()
    trained = [parameter for parameter in bridge_parameters(rounded) if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.dtype == torch.float32 for parameter in trained)


def test_compiled_mlps_give_the_plain_ones_logits_gradients_and_samples(tiny_folder, a_gpu):
    plain, compiled = load_model(str(tiny_folder)), load_model(f"{tiny_folder}+compile")
    results = []
    for bridge in (plain, compiled):
        logits = bridge(IDS)
        logits.log_softmax(-1).pow(2).sum().backward()
        torch.manual_seed(5)
        ids, _ = get_samples(bridge, "This is", batch_size=3, gen_len=6)
        gradients = [parameter.grad for parameter in bridge_parameters(bridge) if parameter.requires_grad]
        results.append([logits.detach(), *gradients, ids])
    for actual, expected in zip(*results, strict=True):
        assert torch.allclose(actual, expected, atol=1e-5)


def test_mlps_are_really_compiled(tiny_folder):
    bridge, graphs = load_model(str(tiny_folder)), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compile_mlps(bridge, backend=backend)
    bridge(IDS)
    torch.compiler.reset()
    assert len(graphs) >= len(bridge.blocks)


@pytest.mark.parametrize("words", ["+bf16", pytest.param("+bf16+compile", marks=pytest.mark.slow)])
def test_a_run_trains_and_its_first_ratios_are_near_1(small_args, tiny_folder, tmp_path, a_gpu, words):
    trainer = RLHFTrainer(small_args(base_model=f"{tiny_folder}{words}", kl_coef=0.1, total_phases=2))
    memory = trainer.rollout_phase()
    minibatch = memory.get_minibatches()[0]
    with torch.no_grad():
        logits, values = trainer.model.forward_with_value_head(minibatch.sample_ids)
    assert values.dtype == torch.float32
    chosen = (
        logits[:, :-1]
        .log_softmax(-1)
        .gather(-1, minibatch.sample_ids[:, 1:, None])
        .squeeze(-1)[:, -minibatch.logprobs.shape[1] :]
    )
    assert (chosen - minibatch.logprobs).exp().sub(1).abs().max() < 0.02
    trained = trainer.model.get_base_model_trainable_params() + trainer.model.get_value_head_params()
    before = [parameter.detach().clone() for parameter in trained]
    rows = trainer.train(tmp_path / "run", show=False).rows
    assert len(rows) == 2 and all(math.isfinite(float(row["objective"])) for row in rows)
    assert not any(torch.equal(after, earlier) for after, earlier in zip(trained, before, strict=True))


def test_what_a_run_costs_is_that_of_the_model_without_the_words():
    args = RLHFArgs.for_profile("gpu-fast")
    assert estimate(args, None) == estimate(RLHFArgs.for_profile("gpu"), None)
