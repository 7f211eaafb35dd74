"""Measure what the notebooks state about the method, on the embedded model: `python benchmarks/teaching.py`

It writes results/teaching.json and prints a table. With `--show` it measures nothing. notebook_figures.py makes of the
results the clauses that the notebooks hold.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from harness import RESULTS, machine, write_results
from torch import Tensor

from rlhf_course import RLHFArgs, get_samples, load_model
from rlhf_course.learner_package import imported_answer

SEEDS = (1, 2, 3, 4, 5)
ESTIMATORS: dict[str, Callable[[Tensor], Tensor]] = {  # of r = log p(token) - log p_ref(token)
    "k1": lambda r: r,
    "k2": lambda r: r.square() / 2,
    "k3": lambda r: (-r).exp() + r - 1,
}
KL_TO_REACH = 0.08  # nats a token


def trainer_of(run: str, seed: int) -> Any:
    """Return the reference trainer of a named run on the embedded model."""
    return imported_answer("RLHFTrainer")(RLHFArgs.for_profile("laptop", run, seed=seed))


def fresh_head(seed: int) -> dict[str, float]:
    """Measure values and one-step advantages of a value head that has learnt nothing, on a rollout of `periods`."""
    trainer = trainer_of("periods", seed)
    memory = trainer.rollout_phase()
    values, size = memory.values[:, -trainer.args.gen_len - 1 : -1], memory.advantages.abs()
    return {
        "value_mean": values.mean().item(),
        "value_deviation": values.std().item(),
        "size_before_the_last": size[:, :-1].mean().item(),
        "size_of_the_last": size[:, -1].mean().item(),
        "share_of_the_last": (size[:, -1].sum() / size.sum()).item(),
    }


@torch.no_grad()
def top_k_mass(seed: int) -> dict[str, float]:
    """Measure the mass that top-k sampling cuts away, and what a learning phase without penalty does to it."""
    trainer = trainer_of("collapse", seed)
    args, memory = trainer.args, trainer.rollout_phase()
    ids = memory.sample_ids
    actions, positions = ids[:, -args.gen_len :], slice(-args.gen_len - 1, -1)
    before = trainer.model(ids)[:, positions].log_softmax(-1)
    with torch.enable_grad():
        trainer.learning_phase(memory)
    after = trainer.model(ids)[:, positions].log_softmax(-1)
    mass_before, mass_after = (logprobs.exp().topk(args.top_k).values.sum(-1) for logprobs in (before, after))
    change = (after - before).gather(-1, actions[..., None]).squeeze(-1)
    return {
        "cut": 1 - mass_before.mean().item(),
        "log_ratio_size": change.abs().mean().item(),
        "log_mass_ratio_size": (mass_after / mass_before).log().abs().mean().item(),
    }


def estimator_cosines(seed: int, kl_to_reach: float = KL_TO_REACH) -> dict[str, float]:
    """Measure the cosines of the estimators' gradients with the exact gradient of the mean KL over the vocabulary.

    The policy is one of the run `collapse`, at the first phase in which its KL is above `kl_to_reach`. Its texts are
    sampled from the whole softmax. `expected` averages over every token that the policy could choose, `sampled` takes
    the one that it chose.
    """
    trainer = trainer_of("collapse", seed)
    kl = 0.0
    while kl < kl_to_reach:
        trainer.learning_phase(trainer.rollout_phase())
        ids, _ = get_samples(trainer.model, "This is", 128, gen_len=30, temperature=1.0, top_k=None)
        logprobs = trainer.model(ids)[:, -31:-1].log_softmax(-1)
        with torch.no_grad():
            reference = trainer.ref_model(ids)[:, -31:-1].log_softmax(-1)
        exact = (logprobs.exp() * (logprobs - reference)).sum(-1).mean()
        kl = exact.item()
    parameters = trainer.model.get_base_model_trainable_params()
    chosen = ids[:, -30:, None]
    wanted = _gradient(exact, parameters)
    cosines = {"kl": kl}
    for name, estimate in ESTIMATORS.items():
        every = estimate(logprobs - reference)
        taken, logprob = every.gather(-1, chosen), logprobs.gather(-1, chosen)
        terms = {
            "loss_expected": (logprobs.exp().detach() * every).sum(-1).mean(),
            "reward_expected": (logprobs.exp() * every.detach()).sum(-1).mean(),
            "loss_sampled": taken.mean(),
            "reward_sampled": (taken.detach() * logprob).mean(),
        }
        gradients = {term: _gradient(loss, parameters) for term, loss in terms.items()}
        cosines |= {f"{name}_{term}": _cosine(gradient, wanted) for term, gradient in gradients.items()}
        for use in ("loss", "reward"):
            cosines[f"{name}_{use}_relative_norm"] = (gradients[f"{use}_expected"].norm() / wanted.norm()).item()
    return cosines


def _gradient(loss: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters, retain_graph=True)])


def _cosine(first: Tensor, second: Tensor) -> float:
    return torch.cosine_similarity(first.double(), second.double(), dim=0).item()


def unused_parameters() -> dict[str, Any]:
    """Compare `base_model.parameters()` with the parameters that the logits depend on, and let AdamW step over both."""
    torch.manual_seed(0)
    model = imported_answer("HookedTransformerWithValueHead").from_pretrained("embedded")
    every, trainable = list(model.base_model.parameters()), model.get_base_model_trainable_params()
    known = {id(parameter) for parameter in trainable}
    unused = [parameter for parameter in every if id(parameter) not in known]
    storages = {parameter.untyped_storage().data_ptr() for parameter in trainable}
    before = [parameter.detach().clone() for parameter in unused]
    optimizer = torch.optim.AdamW(every, lr=0.1, weight_decay=0.5, maximize=True)
    model(model.to_tokens("This is fun.")).square().mean().backward()
    optimizer.step()
    return {
        "trainable_missing": len(known - {id(parameter) for parameter in every}),
        "unused": len(unused),
        "unused_numbers": sum(parameter.numel() for parameter in unused),
        "trainable_numbers": sum(parameter.numel() for parameter in trainable),
        "with_gradient": sum(parameter.grad is not None for parameter in unused),
        "sharing_memory": sum(parameter.untyped_storage().data_ptr() in storages for parameter in unused),
        "changed_by_adamw": sum(not torch.equal(old, new) for old, new in zip(before, unused, strict=True)),
    }


def constants() -> dict[str, float]:
    """Return figures that need no model: defaults, and the size of the reference's logits."""
    args = RLHFArgs()
    model = load_model("embedded")
    positions = model.to_tokens(args.prefix).shape[1] + args.gen_len
    return {
        "ref_logits_gigabytes": args.batch_size * positions * 50257 * 4 / 1e9,
        "adamw_weight_decay": torch.optim.AdamW([torch.ones(1)]).defaults["weight_decay"],
        "warmup_first_factor": 0 / args.warmup_steps,
    }


def measure() -> dict[str, Any]:
    """Measure everything, each with every seed where there is chance in it."""
    per_seed = {"fresh_head": fresh_head, "top_k": top_k_mass, "estimators": estimator_cosines}
    return {
        "machine": machine(),
        **{name: {str(seed): function(seed) for seed in SEEDS} for name, function in per_seed.items()},
        "unused_parameters": unused_parameters(),
        "constants": constants(),
    }


def over_seeds(results: dict[str, Any], group: str, figure: str) -> list[float]:
    """Return a figure for each seed, sorted."""
    return sorted(seed[figure] for seed in results[group].values())


def table(results: dict[str, Any]) -> str:
    """Return lowest, median and highest of each figure over the seeds."""
    lines = [f"{'':<40}{'low':>9}{'median':>9}{'high':>9}"]
    for group in ("fresh_head", "top_k", "estimators"):
        for figure in next(iter(results[group].values())):
            numbers = over_seeds(results, group, figure)
            shown = (numbers[0], statistics.median(numbers), numbers[-1])
            lines.append(f"{group + ' ' + figure:<40}" + "".join(f"{number:>9.3f}" for number in shown))
    for group in ("unused_parameters", "constants"):
        lines += [f"{group + ' ' + name:<40}{figure:>9.3g}" for name, figure in results[group].items()]
    return "\n".join(lines)


def stored() -> dict[str, Any]:
    """Return the results of the latest measurement."""
    return json.loads((RESULTS / "teaching.json").read_text())


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="measure nothing, and print the stored results")
    if not parser.parse_args().show:
        write_results("teaching", measure())
    print(table(stored()))


if __name__ == "__main__":
    main()
