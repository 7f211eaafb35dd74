"""Tests of the settings: the defaults, the profiles, and the values that are refused."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch

from rlhf_course import RLHFArgs
from rlhf_course.errors import CourseError

DEFAULTS = {
    "seed": 1,
    "use_wandb": False,
    "wandb_project_name": "RLHF",
    "wandb_entity": None,
    "total_phases": 100,
    "batch_size": 128,
    "num_minibatches": 4,
    "batches_per_learning_phase": 2,
    "base_lr": 2e-5,
    "head_lr": 5e-4,
    "max_grad_norm": 1.0,
    "warmup_steps": 20,
    "final_scale": 0.1,
    "clip_coef": 0.2,
    "vf_coef": 0.15,
    "ent_coef": 0.001,
    "base_model": "gpt2-small",
    "gen_len": 30,
    "temperature": 1.0,
    "top_k": 10,
    "prefix": "This is",
    "prepend_bos": True,
    "kl_coef": 2.5,
    "normalize_reward": True,
}

WRONG = {
    "seed": [-1, 1.5, None],
    "use_wandb": ["yes", 1],
    "wandb_project_name": ["", None],
    "wandb_entity": ["", 3],
    "total_phases": [0, 2.0, True],
    "batch_size": [0, "128"],
    "num_minibatches": [0, -4],
    "batches_per_learning_phase": [0, None],
    "base_lr": [-1e-5, float("nan"), "fast"],
    "head_lr": [-1.0, float("inf")],
    "max_grad_norm": [0, -1.0],
    "warmup_steps": [-1, 0.5],
    "final_scale": [-0.1, None],
    "clip_coef": [0, -0.2],
    "vf_coef": [-0.1, float("nan")],
    "ent_coef": [-0.001],
    "base_model": ["", " ", None],
    "gen_len": [0, 3.0],
    "temperature": [0, -1.0, float("nan")],
    "top_k": [0, 1.5, None],
    "prefix": [None, 3],
    "prepend_bos": [None, "no"],
    "kl_coef": [-2.5, float("inf")],
    "reward_fn": [None, "periods"],
    "normalize_reward": [0, None],
}


def test_the_defaults_are_the_table():
    args = asdict(RLHFArgs())
    reward_fn = args.pop("reward_fn")
    assert args == DEFAULTS
    assert torch.equal(reward_fn(["a", "b", "c"]), torch.zeros(3))


def test_minibatch_size_is_derived():
    assert RLHFArgs(batch_size=35, num_minibatches=7).minibatch_size == 5


def test_wrong_values_are_listed_for_every_field():
    assert set(WRONG) == set(asdict(RLHFArgs()))


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in WRONG for value in WRONG[field]])
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field, value):
    with pytest.raises(ValueError, match=rf"^{field} takes .+, got "):
        RLHFArgs(**{field: value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 10, "num_minibatches": 4}, "batch_size takes a multiple of num_minibatches, got 10 and 4"),
        ({"total_phases": 20, "warmup_steps": 20}, r"total_phases takes a number above warmup_steps \(20\), got 20"),
        ({"prefix": "", "prepend_bos": False}, "prefix takes some text when prepend_bos is False"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        RLHFArgs(**fields)


@pytest.mark.parametrize(
    ("profile", "model"),
    [
        ("laptop", "embedded"),
        ("gpu", "gpt2-small"),
        ("gpu-fast", "gpt2-small+bf16+compile"),
        ("gpu-large", "gpt2-medium"),
    ],
)
@pytest.mark.parametrize("run", ["collapse", "periods", "sentiment"])
def test_each_profile_has_each_run(profile, model, run):
    args = RLHFArgs.for_profile(profile, run)
    assert args.base_model == model
    assert (args.kl_coef == 0) == (run == "collapse")


def test_the_proper_run_on_a_gpu_is_the_table_of_defaults():
    args = asdict(RLHFArgs.for_profile("gpu", "periods"))
    assert args.pop("reward_fn").name == "periods"
    assert args == DEFAULTS


def test_auto_is_the_laptop_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setenv("RLHF_COURSE_DEVICE", "cpu")
    assert RLHFArgs.for_profile().base_model == "embedded"
    monkeypatch.setenv("RLHF_COURSE_DEVICE", "cuda")
    assert RLHFArgs.for_profile().base_model == "gpt2-small"


def test_what_the_caller_passes_wins():
    args = RLHFArgs.for_profile("laptop", "collapse", kl_coef=0.7, prefix="There is")
    assert (args.kl_coef, args.prefix, args.total_phases) == (0.7, "There is", 30)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"name": "tpu"}, "profile takes auto, laptop, gpu, gpu-fast, gpu-large, got 'tpu'"),
        ({"run": "dots"}, "run takes collapse, periods, sentiment, overoptimise, got 'dots'"),
        ({"learning_rate": 1e-3}, "RLHFArgs has no field learning_rate; its fields are base_lr"),
    ],
)
def test_an_unknown_profile_run_or_field_is_refused(call, message):
    with pytest.raises(CourseError, match=message):
        RLHFArgs.for_profile(**call)


def test_the_course_is_imported_without_torch():
    code = "import json, sys, rlhf_course; dir(rlhf_course); print(json.dumps([m for m in sys.modules]))"
    modules = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    )
    assert not {"torch", "transformer_lens", "transformers", "matplotlib"} & set(modules)


def test_every_public_name_can_be_had():
    import rlhf_course

    for name in rlhf_course.__all__:
        assert getattr(rlhf_course, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'PPOArgs'"):
        rlhf_course.PPOArgs  # noqa: B018
