"""Tests that the lean trainer computes the same numbers as the reference solution's trainer."""

import inspect

import pytest
import torch
from part1_rlhf import RLHFTrainer

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import trainer_class
from rlhf_course.paths import SOLUTIONS
from rlhf_course.rl.run_folder import read_run


@pytest.fixture
def lean_trainer():
    return trainer_class(lean=True)


@pytest.fixture
def parts(lean_trainer):
    """The globals of lean.py."""
    return inspect.unwrap(lean_trainer.rollout_phase).__globals__


@pytest.mark.parametrize("chunk_size", [1, 4, 15, 128])
def test_the_gradients_that_are_written_down_are_those_that_torch_finds(parts, monkeypatch, chunk_size):
    monkeypatch.setitem(parts, "_CHUNK_SIZE", chunk_size)
    source = torch.Generator().manual_seed(0)
    hidden, unembedding, ref_logits, weights = (
        torch.randn(*shape, generator=source, dtype=torch.float64, requires_grad=True)
        for shape in ((15, 3), (11, 3), (15, 11), (15,))
    )
    chosen = torch.randint(0, 11, (15,), generator=source)
    ref_logprobs = ref_logits.detach().log_softmax(-1)
    # The objective's first term is a weighted sum of the squares of the log-probabilities.
    terms = parts["token_terms"](
        hidden,
        unembedding,
        chosen,
        lambda chunk: ref_logprobs[chunk],
        lambda logprobs, chunk: weights[chunk] * 2 * logprobs,
        0.3,
        0.7,
    )
    p = torch.distributions.Categorical(logits=hidden @ unembedding.T)
    kl = torch.distributions.kl_divergence(p, torch.distributions.Categorical(logits=ref_logprobs))
    objective = (weights * p.log_prob(chosen) ** 2).sum() + 0.3 * p.entropy().mean() - 0.7 * kl.mean()
    expected = (p.log_prob(chosen), p.entropy(), kl, *torch.autograd.grad(objective, (hidden, unembedding)))
    for name, value in zip(("logprobs", "entropy", "kl", "grad_hidden", "grad_unembedding"), expected, strict=True):
        assert torch.allclose(getattr(terms, name), value), name


def test_the_objective_and_its_gradients_are_the_plain_trainers_where_clipping_bites(small_args, lean_trainer):
    results = []
    for make in (lean_trainer, RLHFTrainer):
        trainer = make(small_args(kl_coef=0.7, ent_coef=0.02, clip_coef=0.05))
        torch.manual_seed(1)
        memory = trainer._memory = trainer.rollout_phase()
        # As after many steps, the log-probabilities have changed by more than the clipping allows, in both directions.
        memory.logprobs += torch.linspace(-0.3, 0.3, memory.logprobs.numel()).view_as(memory.logprobs)
        objective = trainer.compute_rlhf_objective(memory.rows(torch.tensor([0, 3])))
        objective.backward()
        trained = trainer.model.get_base_model_trainable_params() + trainer.model.get_value_head_params()
        results.append([objective.detach(), *(parameter.grad for parameter in trained)])
    for lean, plain in zip(*results, strict=True):
        assert torch.allclose(lean, plain, atol=1e-6, rtol=1e-4)


def test_a_model_with_more_to_its_logits_is_refused(parts, small_args, lean_trainer, monkeypatch):
    trainer = lean_trainer(small_args())
    head = trainer.ref_model.base_model.original_model.get_output_embeddings()
    head.register_forward_hook(lambda module, inputs, logits: 5 * torch.tanh(logits / 5))
    with pytest.raises(CourseError, match="train without --lean"):
        parts["check_unembedding"](trainer.ref_model, torch.tensor([[0, 5, 9]]))


@pytest.mark.parametrize("settings", [{}, {"prepend_bos": False, "normalize_reward": False, "kl_coef": 0.0}])
def test_a_rollout_is_the_plain_ones(small_args, lean_trainer, settings):
    lean, plain = (make(small_args(**settings)) for make in (lean_trainer, RLHFTrainer))
    memories = []
    for trainer in (lean, plain):
        torch.manual_seed(1)
        memories.append(trainer.rollout_phase())
    for name in ("sample_ids", "logprobs", "advantages", "returns"):
        assert torch.allclose(*(getattr(memory, name) for memory in memories), atol=1e-5), name
    assert lean.samples == plain.samples


def test_a_phase_gives_the_plain_trainers_metrics_and_samples(small_args, lean_trainer, tmp_path):
    args = small_args(total_phases=1, kl_coef=0.7, ent_coef=0.02)
    runs = []
    for name, make in (("lean", lean_trainer), ("plain", RLHFTrainer)):
        make(args).train(tmp_path / name, show=False)
        runs.append(read_run(tmp_path / name))
        del runs[-1].rows[0]["seconds"]
    assert runs[0].rows[0] == pytest.approx(runs[1].rows[0], abs=1e-4, rel=1e-4)
    assert runs[0].rows[0]["kl"] > 1e-4
    for lean, plain in zip(runs[0].samples, runs[1].samples, strict=True):
        assert lean["text"] == plain["text"]
        assert (lean["reward"], lean["ref_logprob"]) == pytest.approx((plain["reward"], plain["ref_logprob"]), abs=1e-3)
    assert [run.config["lean"] for run in runs] == [True, False]


def test_the_parameters_after_a_phase_are_the_plain_trainers(small_args, lean_trainer):
    finals = []
    for make in (lean_trainer, RLHFTrainer):
        trainer = make(small_args(kl_coef=0.7, ent_coef=0.02))
        torch.manual_seed(1)
        trainer.learning_phase(trainer.rollout_phase())
        finals.append(trainer.model(torch.tensor([[0, 1, 2, 3]])))
    assert torch.allclose(*finals, atol=1e-4)


def test_a_lean_run_is_resumed_as_one(small_args, lean_trainer, tiny_folder, tmp_path):
    from rlhf_course import RLHFArgs, named_reward
    from rlhf_course.rl.launch import resume_run

    settings = {"base_model": str(tiny_folder), "batch_size": 6, "num_minibatches": 3, "gen_len": 5}
    trainer = lean_trainer(RLHFArgs(total_phases=2, warmup_steps=0, reward_fn=named_reward("periods"), **settings))
    trainer.train(tmp_path / "run", show=False, watch=lambda row, samples: trainer.stop())
    resume_run(tmp_path / "run")
    assert len(read_run(tmp_path / "run").rows) == 2


def test_without_the_solutions_there_is_no_lean_trainer(monkeypatch, tmp_path):
    monkeypatch.setattr("rlhf_course.learner_package.SOLUTIONS", tmp_path)
    with pytest.raises(CourseError, match=r"--lean needs the course's answers.*--code notebooks"):
        trainer_class(lean=True)
    assert (SOLUTIONS / "lean.py").is_file()


def test_where_no_answers_are_train_says_what_it_needs(monkeypatch, tmp_path):
    from rlhf_course.learner_package import course_answers

    monkeypatch.setattr("rlhf_course.learner_package.SOLUTIONS", tmp_path)
    with pytest.raises(CourseError, match="train without --code needs the course's answers"):
        course_answers()
