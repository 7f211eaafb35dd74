"""Tests of the recorded metrics, which are computed again in float64 from the tensors of the run."""

import inspect
import json
import shutil
import struct
import sys
import types
from pathlib import Path

import part1_rlhf
import pytest
import torch
from part1_rlhf import RLHFTrainer

from rlhf_course import ReplayMemory, use_code
from rlhf_course.learner_package import imported_answer
from rlhf_course.paths import SOLUTIONS
from rlhf_course.recording import recorded_phase
from rlhf_course.rl.run_folder import METRICS, read_run


class Seen(RLHFTrainer):
    """Records every minibatch with the logits and values that its objective was computed from."""

    def __init__(self, args):
        super().__init__(args)
        self.seen, self.objectives = [], []

    def compute_rlhf_objective(self, minibatch):
        forward = self.model.forward_with_value_head

        def recorded_forward(ids):
            self.seen.append((minibatch, *forward(ids)))
            return self.seen[-1][1:]

        self.model.forward_with_value_head = recorded_forward
        try:
            objective = super().compute_rlhf_objective(minibatch)
        finally:
            del self.model.forward_with_value_head
        self.objectives.append(objective.item())
        return objective


def terms(minibatch, logits, values, args) -> dict[str, float]:
    """Return one minibatch's terms in float64, from their formulas."""
    gen = args.gen_len
    chosen = slice(-gen - 1, -1)
    old, advantages, returns = (
        tensor.double() for tensor in (minibatch.logprobs, minibatch.advantages, minibatch.returns)
    )
    p, q = (tensor.detach().double()[:, chosen].log_softmax(-1) for tensor in (logits, minibatch.ref_logits))
    v = values.detach().double()[:, chosen]
    ratio = (p.gather(-1, minibatch.sample_ids[:, -gen:, None]).squeeze(-1) - old).exp()
    scaled = (advantages - advantages.mean()) / (advantages.var().sqrt() + 1e-8)
    clipped = torch.where(scaled > 0, ratio.clamp(max=1 + args.clip_coef), ratio.clamp(min=1 - args.clip_coef))
    return {
        "clipped_surrogate": (clipped * scaled).mean().item(),
        "value_loss": (args.vf_coef / 2 * ((v - returns) ** 2).mean()).item(),
        "entropy": -(p.exp() * p).sum(-1).mean().item(),
        "kl": (p.exp() * (p - q)).sum(-1).mean().item(),
        "clipfrac": ((ratio < 1 - args.clip_coef) | (ratio > 1 + args.clip_coef)).double().mean().item(),
        "mean_value": v.mean().item(),
    }


@pytest.mark.parametrize(("kl_coef", "ent_coef"), [(0.7, 0.01), (0.0, 0.0)])
def test_each_term_is_recorded_as_its_mean_over_the_phases_minibatches_kl_and_entropy_without_coefficients(
    small_args, tmp_path, kl_coef, ent_coef
):
    args = small_args(kl_coef=kl_coef, ent_coef=ent_coef, vf_coef=0.3, clip_coef=0.04, base_lr=5e-3, total_phases=1)
    trainer = Seen(args)
    (row,) = trainer.train(tmp_path / "run", show=False).rows
    seen = [terms(*forward_pass, args) for forward_pass in trainer.seen]
    assert len(seen) == 6
    for name in seen[0]:
        assert row[name] == pytest.approx(sum(values[name] for values in seen) / 6, rel=1e-4, abs=1e-6), name
    assert row["objective"] == pytest.approx(sum(trainer.objectives) / 6)
    rebuilt = row["clipped_surrogate"] - row["value_loss"] + ent_coef * row["entropy"] - kl_coef * row["kl"]
    assert row["objective"] == pytest.approx(rebuilt, abs=1e-5)
    assert row["kl"] > 1e-4 and 0 < row["clipfrac"] < 1 and row["value_loss"] > 1e-3
    written = read_run(tmp_path / "run").rows[0]
    assert all(written[name] == pytest.approx(row[name]) for name in METRICS)


def test_ref_logprob_is_the_references_log_probability_of_the_generated_tokens(small_args, tmp_path):
    memories = []

    class Keeps(RLHFTrainer):
        def rollout_phase(self):
            memories.append(super().rollout_phase())
            return memories[-1]

    trainer = Keeps(small_args(total_phases=1))
    trainer.train(tmp_path / "run", show=False)
    ids = memories[0].sample_ids
    with torch.no_grad():
        logprobs = trainer.ref_model(ids).double().log_softmax(-1)[:, -8:-1]
    expected = logprobs.gather(-1, ids[:, -7:, None]).squeeze(-1).sum(-1)
    recorded = [sample["ref_logprob"] for sample in read_run(tmp_path / "run").samples]
    assert recorded == pytest.approx(expected.tolist(), abs=1e-4)


def test_terms_are_recorded_where_a_trainer_imported_the_exercises_by_name(small_args, tmp_path):
    from part1_rlhf import calc_entropy_bonus, calc_kl_penalty

    class Renamed(RLHFTrainer):
        def compute_rlhf_objective(self, minibatch):
            logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
            return my_bonus(logits[:, -8:-1], self.args.ent_coef, 7) - my_penalty(
                logits[:, -8:-1], minibatch.ref_logits[:, -8:-1], kl_coef=self.args.kl_coef, gen_len=7
            )

    globals().update(my_bonus=calc_entropy_bonus, my_penalty=calc_kl_penalty)
    (row,) = Renamed(small_args(total_phases=1)).train(tmp_path / "run", show=False).rows
    assert row["entropy"] > 1 and row["kl"] >= 0


@pytest.fixture
def learner(tmp_path):
    """A learner's package, which the run imports its answers from."""
    shutil.copytree(SOLUTIONS / "part1_rlhf", tmp_path / "part1_rlhf", ignore=shutil.ignore_patterns("__pycache__"))
    use_code(tmp_path)
    return tmp_path / "part1_rlhf"


COUNTING = """
from functools import wraps

_answer, calls = {name}, []


@wraps(_answer)
def {name}(*args, **kwargs):
    calls.append(args)
    return _answer(*args, **kwargs)
"""


@pytest.mark.parametrize("coefficient", [0, 0.5])
def test_each_term_is_called_once_a_minibatch_whatever_its_coefficient(small_args, tmp_path, learner, coefficient):
    for name in ("calc_kl_penalty", "calc_entropy_bonus"):
        path = learner / f"{name}.py"
        path.write_text(path.read_text() + COUNTING.format(name=name))
    args = small_args(total_phases=1, kl_coef=coefficient, ent_coef=coefficient)
    (row,) = imported_answer("RLHFTrainer")(args).train(tmp_path / "run", show=False).rows
    for name in ("calc_kl_penalty", "calc_entropy_bonus"):
        assert len(sys.modules[f"part1_rlhf.{name}"].calls) == 6
    assert row["kl"] > 0 and row["entropy"] > 1


def test_a_term_with_coefficient_0_changes_neither_the_objective_nor_its_gradient(tiny_bridge):
    logits, reference = torch.randn(2, 3, 7, requires_grad=True), torch.randn(2, 3, 7)
    with recorded_phase() as metrics:
        penalty = part1_rlhf.calc_kl_penalty(logits, reference, 0.0, 3)
    penalty.backward()
    assert penalty.item() == 0 and not logits.grad.any()
    assert metrics.means() == {"kl": pytest.approx(part1_rlhf.calc_kl_penalty(logits, reference, 1.0, 3).item())}


def test_a_phase_leaves_the_globals_of_every_module_alone(small_args, tmp_path, learner):
    (learner / "trainer.py").write_text(
        "from part1_rlhf import calc_kl_penalty\n" + (learner / "trainer.py").read_text()
    )
    trainer_class = imported_answer("RLHFTrainer")
    modules = {name: module for name, module in sys.modules.items() if name.startswith("part1_rlhf")}
    assert f"{trainer_class.__module__}" in modules
    before = {name: dict(vars(module)) for name, module in modules.items()}
    during = []

    class Watching(trainer_class):
        def compute_rlhf_objective(self, minibatch):
            during.append({name: dict(vars(module)) for name, module in modules.items()})
            return super().compute_rlhf_objective(minibatch)

    Watching(small_args(total_phases=1)).train(tmp_path / "run", show=False)
    for name, namespace in before.items():
        for key, value in namespace.items():
            assert all(snapshot[name][key] is value for snapshot in during), f"{name}.{key}"


def test_a_function_is_recorded_in_a_phase_and_only_called_outside_of_one():
    logits = torch.randn(2, 3, 7)
    assert part1_rlhf.calc_entropy_bonus is part1_rlhf.calc_entropy_bonus
    assert part1_rlhf.calc_entropy_bonus(logits, 0.0, 3).item() == 0
    with recorded_phase() as metrics:
        part1_rlhf.get_logprobs(logits, torch.zeros(2, 3, dtype=torch.long), 1)
        assert metrics.means() == {}
        part1_rlhf.calc_entropy_bonus(logits, 0.5, 3)
    assert metrics.means().keys() == {"entropy"}
    assert inspect.getsourcefile(inspect.unwrap(part1_rlhf.calc_entropy_bonus)).endswith("calc_entropy_bonus.py")


def test_wrong_arguments_raise_the_error_of_the_function_itself():
    with recorded_phase(), pytest.raises(TypeError, match=r"calc_kl_penalty\(\) missing 2 required"):
        part1_rlhf.calc_kl_penalty(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))


def test_a_term_that_the_objective_does_not_have_is_nan_and_listed_as_missing(small_args, tmp_path, capsys):
    class OnlyEntropy(RLHFTrainer):
        def compute_rlhf_objective(self, minibatch):
            logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
            return part1_rlhf.calc_entropy_bonus(logits[:, -8:-1], self.args.ent_coef, 7)

    rows = OnlyEntropy(small_args(total_phases=2)).train(tmp_path / "run").rows
    assert rows[0]["entropy"] > 1 and rows[0]["kl"] != rows[0]["kl"]
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("not recorded: clipped_surrogate, value_loss, kl, clipfrac, mean_value:") == 1


def test_a_trainer_without_a_value_head_trains(small_args, tmp_path):
    class GroupRelative(RLHFTrainer):
        use_value_head = False

        def rollout_phase(self):
            ids, samples = part1_rlhf.trainer.get_samples(
                self.model, self.args.prefix, self.args.batch_size, self.args.gen_len
            )
            rewards = part1_rlhf.normalize_reward(self.reward(samples))
            with torch.no_grad():
                logits, values = self.model.forward_with_value_head(ids)
                assert values is None
                logprobs = part1_rlhf.get_logprobs(logits, ids, self.prefix_len)
                return ReplayMemory(
                    self.args, ids, logprobs, rewards[:, None].expand_as(logprobs), None, self.ref_model(ids)
                )

        def compute_rlhf_objective(self, minibatch):
            assert minibatch.returns is None
            logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
            logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
            return (logprobs * minibatch.advantages).mean()

    trainer = GroupRelative(small_args(total_phases=2))
    before = trainer.model(torch.tensor([[0, 1, 2]])).detach().clone()
    rows = trainer.train(tmp_path / "run", show=False).rows
    assert len(rows) == 2 and trainer.model.value_head is None
    assert not torch.equal(before, trainer.model(torch.tensor([[0, 1, 2]])))


# Weights & Biases


def wandb_records(run: Path) -> list:
    """Return the records in a run's offline file of Weights & Biases, which is a log of 32 KB blocks."""
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()  # waits until the file is written
    records = []
    for file in sorted((run / "wandb").glob("offline-run-*/*.wandb")):
        data, at, part = file.read_bytes(), 7, b""
        while at + 7 <= len(data):
            if (left := 32768 - at % 32768) < 7:
                at += left
                continue
            _, length, kind = struct.unpack("<IHB", data[at : at + 7])
            part, at = part + data[at + 7 : at + 7 + length], at + 7 + length
            if kind in (1, 4):  # a whole record, or the last part of a record
                records.append(Record.FromString(part))
                part = b""
    return records


def test_wandb_gets_each_phases_row_and_samples_at_its_step_and_a_resumed_run_keeps_its_id(
    small_args, tmp_path, monkeypatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    trainer = RLHFTrainer(small_args(use_wandb=True))
    trainer.train(tmp_path / "run", show=False, watch=lambda row, samples: trainer.stop())
    rows = RLHFTrainer(small_args(use_wandb=True)).train(tmp_path / "run", resume=True, show=False).rows
    records = wandb_records(tmp_path / "run")
    assert {record.run.run_id for record in records if record.WhichOneof("record_type") == "run"} == {
        read_run(tmp_path / "run").config["wandb_id"]
    }
    history = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    assert [step["_step"] for step in history] == [0, 1, 2]
    for step, row in zip(history, rows, strict=True):
        assert {name: step[name] for name in METRICS} == pytest.approx({name: row[name] for name in METRICS})
        assert step["samples/nrows"] == 12 and step["samples/ncols"] == 3


def test_wandb_without_a_key_is_one_message_and_leaves_nothing(small_args, tmp_path, monkeypatch):
    from rlhf_course.errors import CourseError

    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "home"))
    import wandb

    wandb.teardown()
    try:
        with pytest.raises(CourseError, match=r"use_wandb: .*WANDB_MODE=offline"):
            RLHFTrainer(small_args(use_wandb=True)).train(tmp_path / "run", show=False)
    finally:
        wandb.teardown()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("broken", ["init", "log", "finish"])
def test_a_run_goes_on_and_is_recorded_when_wandb_does_not_work(small_args, tmp_path, monkeypatch, capsys, broken):
    from rlhf_course.rl import trainer

    class Run:
        def log(self, *args, **kwargs):
            fail("log")

        def finish(self):
            fail("finish")

    def fail(where):
        if where == broken:
            raise PermissionError(13, "Permission denied")

    def init(**kwargs):
        fail("init")
        return Run()

    fake = types.SimpleNamespace(init=init, Table=lambda **kwargs: None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(trainer, "check_wandb", lambda args: None)
    rows = RLHFTrainer(small_args(use_wandb=True)).train(tmp_path / "run", show=False).rows
    assert len(rows) == len(read_run(tmp_path / "run").rows) == 3
    error = capsys.readouterr().err
    assert error.count("warning: use_wandb: Weights & Biases does not record this run any more") == 1
