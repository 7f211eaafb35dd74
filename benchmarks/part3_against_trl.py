"""Compare part 3's functions with TRL and with plain formulas: `.venv/bin/python benchmarks/part3_against_trl.py`

Values and gradients are compared in float64 on drawn inputs. TRL's side is:

- `completion_mask`, `group_advantages` and `rloo_advantages`: what TRL's `GRPOTrainer` and `RLOOTrainer` make of drawn
  completions and rewards;
- `grpo_clip_loss` with `aggregate_loss`: the loss of `GRPOTrainer` with the `loss_type` grpo, bnpo, dapo and dr_grpo;
- `kl_estimate` of kind k3: the penalty in this loss;
- `sft_loss`: the loss of `SFTTrainer`.

`GRPOTrainer.loss` of part 3 is compared with TRL's on the embedded model, whose fused head in TRL computes
log-probabilities in float32. TRL removed its PPO, and with it its GAE. So each function, the others included, is also
compared with a formula that is written here as loops over numbers.

Then the code of docs/larger_models.md runs, which gives TRL's trainer part 3's functions: a model that has learnt
demonstrations by `sft_loss` samples, `verify_sorted` gives the rewards, and the loss of the same batch is computed by
TRL's functions and by part 3's. TRL runs in an environment of its own (.venv-trl, which `make trl` installs), as a
process that this script starts.
"""

import itertools
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from part2_against_trl import EMBEDDED, ROOT, TRL_PYTHON, largest_differences, position_ids, with_gradients

PAGE = ROOT / "docs" / "larger_models.md"
DRAWS, PROMPTS, GROUP, GEN = 5, 3, 4, 7
CLIP_LOW, CLIP_HIGH, MAX_NEW_TOKENS = 0.2, 0.28, 9
GAMMA, LAM = 0.9, 0.8
# TRL's names of losses, and the kinds of `aggregate_loss` that they mean.
LOSS_TYPES = {"grpo": "sequence_mean", "bnpo": "token_mean", "dapo": "token_mean", "dr_grpo": "constant"}
TASK_PROMPTS, TASK_GROUP, TASK_TOKENS = 8, 8, 8
SFT_STEPS, WARMUP_STEPS, SFT_LR = 40, 10, 1e-3
VERIFIED = [
    ("7294=", "2479<|endoftext|>"),
    ("7294=", "2479"),
    ("7294=", "7294<|endoftext|>"),
    ("7294=", "247<|endoftext|>"),
    ("7294=", "24479<|endoftext|>"),
    ("7294=", "2479<|endoftext|>9"),
    ("7294=", " 2479<|endoftext|>"),
    ("7294=", ""),
    ("5=", "5<|endoftext|>"),
    ("0330=", "0033<|endoftext|>"),
    ("0330=", "33<|endoftext|>"),
]


def page_code() -> str:
    """Return the Python code of docs/larger_models.md, which gives TRL's trainer part 3's functions."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE))


def draw(seed: int, vocab: int, eos: int) -> dict[str, torch.Tensor]:
    """Draw completions of different lengths with all that belongs to them, and demonstrations with padding."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def integers(low: int, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=generator)

    batch = PROMPTS * GROUP
    completion_ids = integers(0, vocab, batch, GEN).masked_fill(integers(0, 5, batch, GEN) == 0, eos)
    completion_ids[0] = completion_ids[0].masked_fill(completion_ids[0] == eos, eos + 1)  # It has no end.
    completion_ids[1, 0] = eos
    rewards = integers(-8, 9, batch) / 8  # exact in float32, which TRL computes rewards in
    rewards[:GROUP] = 0.5  # all equal
    token_logprobs = -3 * normal(batch, GEN).abs()
    lengths = integers(1, GEN + 1, batch, 1)
    demonstrations, seq = 6, 12
    return {
        "completion_ids": completion_ids,
        "rewards": rewards.double(),
        "mask": torch.arange(GEN) < lengths,
        "logprobs": token_logprobs,
        "old_logprobs": token_logprobs + 0.4 * normal(batch, GEN),
        "ref_logprobs": token_logprobs + normal(batch, GEN),
        "advantages": normal(batch),
        "values": normal(batch, GEN),
        "token_rewards": normal(batch, GEN),
        "logits": 4 * normal(demonstrations, seq, 50),
        "logit_ids": integers(0, 50, demonstrations, seq),
        "loss_mask": integers(0, 2, demonstrations, seq).bool(),
    }


# TRL's side, in its own environment.


def _fake_model(**outputs: torch.Tensor) -> Any:
    """Return a model whose forward pass gives chosen outputs."""
    return lambda **inputs: SimpleNamespace(**outputs)


def _trainer(
    name: str, out: str, model: Any, reward: Any, prompts: list[str], group: int, gen: int, **more: Any
) -> Any:
    """Return a trainer of TRL in eval mode."""
    import trl
    from datasets import Dataset
    from transformers import AutoTokenizer

    config = getattr(trl, name.replace("Trainer", "Config"))(
        output_dir=out,
        per_device_train_batch_size=len(prompts) * group,
        per_device_eval_batch_size=len(prompts) * group,
        num_generations=group,
        max_completion_length=gen,
        beta=0.0,
        epsilon=CLIP_LOW,
        epsilon_high=CLIP_HIGH,
        num_iterations=2,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        **more,
    )
    trainer = getattr(trl, name)(
        model=model,
        processing_class=AutoTokenizer.from_pretrained(EMBEDDED),
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
    )
    trainer.model.eval()
    return trainer


def of_trl(inputs: dict[str, torch.Tensor], trainers: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return what TRL computes on drawn inputs."""
    found: dict[str, torch.Tensor] = {}
    for name, scale in (("group_advantages, divided", "group"), ("group_advantages, not divided", "none")):
        trainers["GRPOTrainer"].scale_rewards = scale
        batch = rollout_of(trainers["GRPOTrainer"], inputs)
        found["completion_mask"], found[name] = batch["completion_mask"].bool(), batch["advantages"]
    found["rloo_advantages"] = rollout_of(trainers["RLOOTrainer"], inputs)["advantages"]
    return found | _losses_of_trl(inputs, trainers["GRPOTrainer"]) | _sft_of_trl(inputs)


def rollout_of(trainer: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the batch that a trainer makes of drawn completions and rewards."""
    prompts = [prompt for prompt in trainer.train_dataset["prompt"] for _ in range(GROUP)]
    trainer.drawn_rewards = inputs["rewards"].tolist()
    trainer.model.generate = lambda input_ids, **more: torch.cat([input_ids, inputs["completion_ids"]], dim=1)
    batch: dict[str, torch.Tensor] = trainer._generate_and_score_completions([{"prompt": text} for text in prompts])
    del trainer.model.generate
    return batch


def _losses_of_trl(inputs: dict[str, torch.Tensor], trainer: Any) -> dict[str, torch.Tensor]:
    """Return the losses of all types on drawn log-probabilities, and the penalty alone."""
    found: dict[str, torch.Tensor] = {}
    batch = {
        "prompt_ids": torch.zeros(PROMPTS * GROUP, 1, dtype=torch.long),
        "prompt_mask": torch.ones(PROMPTS * GROUP, 1, dtype=torch.long),
        "completion_ids": torch.zeros_like(inputs["completion_ids"]),
        "completion_mask": inputs["mask"].long(),
        "advantages": inputs["advantages"],
        "old_per_token_logps": inputs["old_logprobs"],
        "ref_per_token_logps": inputs["ref_logprobs"],
        "num_items_in_batch": inputs["mask"].sum(),
    }
    for loss_type in LOSS_TYPES:
        trainer.loss_type = loss_type
        logprobs = inputs["logprobs"].clone().requires_grad_(True)
        loss = trainer.compute_loss(_fake_model(log_probs=logprobs, entropy=torch.zeros_like(logprobs)), batch)
        found |= with_gradients({_loss_name(loss_type): loss}, [logprobs])
    # The penalty alone. By default TRL multiplies it by the ratio, so that its gradient is that of the KL divergence.
    trainer.loss_type, trainer.beta, trainer.args.use_bias_correction_kl = "bnpo", 1.0, False
    logprobs = inputs["logprobs"].clone().requires_grad_(True)
    batch["advantages"] = torch.zeros_like(inputs["advantages"])
    penalty = trainer.compute_loss(_fake_model(log_probs=logprobs, entropy=torch.zeros_like(logprobs)), batch)
    trainer.beta = 0.0
    return found | with_gradients({"kl_estimate, mean of k3": penalty}, [logprobs])


def _loss_name(loss_type: str) -> str:
    return f"grpo_clip_loss and aggregate_loss, {loss_type}"


def _sft_of_trl(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the loss of `SFTTrainer` on the log-probabilities of drawn logits."""
    from collections import defaultdict

    from trl import SFTTrainer
    from trl.trainer.utils import selective_log_softmax

    logits, mask = inputs["logits"].clone().requires_grad_(True), inputs["loss_mask"][:, 1:]
    logprobs = selective_log_softmax(logits[:, :-1], inputs["logit_ids"][:, 1:]).masked_fill(~mask, 0.0)
    zeros = torch.zeros_like(logprobs)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=SimpleNamespace(gather_for_metrics=lambda value: value, parallelism_config=None),
        args=SimpleNamespace(loss_type="nll", average_tokens_across_devices=False),
        aux_loss_enabled=False,
        compute_loss_func=None,
        label_smoother=None,
        _total_train_tokens=0,
        _metrics=defaultdict(lambda: defaultdict(list)),
    )
    model = _fake_model(log_probs=logprobs, label_mask=mask, entropy=zeros, is_top1=zeros.bool())
    return with_gradients({"sft_loss": SFTTrainer.compute_loss(trainer, model, {})}, [logits])


def loss_on_a_model(inputs: dict[str, torch.Tensor], trainer: Any, folder: Path) -> dict[str, torch.Tensor]:
    """Return TRL's loss on the embedded model after a change of its weights, and save batch and model.

    GPT-2 takes positions from the argument `position_ids`, which TRL does not pass, so this wrapper does.
    """
    batch = rollout_of(trainer, inputs)
    model, weights = trainer.model, {name: value.clone() for name, value in trainer.model.state_dict().items()}
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)

    def with_positions(attention_mask: torch.Tensor, **more: Any) -> Any:
        return model(attention_mask=attention_mask, position_ids=position_ids(attention_mask), **more)

    trainer.loss_type = "grpo"
    found = with_gradients({"loss": trainer.compute_loss(with_positions, batch)}, list(model.parameters()))
    mask = batch["completion_mask"]
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    real = torch.cat([batch["prompt_mask"], mask], dim=1)
    for name, of_positions in (("with", with_positions), ("without", model)):
        logprobs, _, _ = trainer._get_per_token_logps_and_entropies(of_positions, ids, real, mask.shape[1])
        found[f"logprobs {name} positions"] = logprobs.detach()[mask.bool()]
    model.save_pretrained(folder / "moved")
    trainer.processing_class.save_pretrained(folder / "moved")
    model.load_state_dict(weights)
    torch.save(batch, folder / "batch.pt")
    return found


def run_plugged_in(folder: Path) -> dict[str, Any]:
    """Run the page's code: sample with TRL, and compute the loss of a batch by TRL's functions and by part 3's."""
    from transformers import AutoModelForCausalLM
    from trl import GRPOTrainer

    page: dict[str, Any] = {}
    os.chdir(ROOT)  # the page names folders of the repository
    exec(compile(page_code(), str(PAGE), "exec"), page)
    model = AutoModelForCausalLM.from_pretrained(folder / "tuned", dtype=torch.float32)
    prompts = json.loads((folder / "prompts.json").read_text())
    with tempfile.TemporaryDirectory() as out:
        trainer = page["make_trainer"](model, folder / "tuned", prompts, output_dir=out)
        trainer.model.eval()
        torch.manual_seed(1)
        rows = [{"prompt": text} for text in trainer.train_dataset["prompt"] for _ in range(TASK_GROUP)]
        batch = trainer._generate_and_score_completions(rows)
        rewards = torch.tensor(next(iter(trainer._logs["rewards"].values())))  # training adds to this log
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.002 * torch.randn_like(parameter)
        losses = {}
        for name, compute in (("TRL", GRPOTrainer._compute_loss), ("part 3", type(trainer)._compute_loss)):
            losses |= with_gradients({name: compute(trainer, trainer.model, batch)}, list(model.parameters()))
        trainer.model.train()
        trainer.train()
    return {
        "completion_ids": batch["completion_ids"],
        "completion_mask": batch["completion_mask"].bool(),
        "advantages": batch["advantages"],
        "rewards": rewards,
        "prompts": [row["prompt"] for row in rows],
        "losses": losses,
        "steps": trainer.state.global_step,
    }


def run_peer(folder: Path) -> None:
    """Compute everything by TRL, in the process that runs in its environment, and save it."""
    import transformers
    import trl
    from transformers import AutoModelForCausalLM

    trainers: dict[str, Any] = {}

    def drawn_rewards(completions: list[str], **more: Any) -> list[float]:
        return active[0].drawn_rewards

    prompts = ["<|endoftext|>7294=", "<|endoftext|>5=", "<|endoftext|>0330123="]
    active: list[Any] = []
    draws = torch.load(folder / "inputs.pt")
    with tempfile.TemporaryDirectory() as out:
        for name in ("GRPOTrainer", "RLOOTrainer"):
            model = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float64)
            trainers[name] = _trainer(name, out, model, drawn_rewards, prompts, GROUP, GEN)
        results = []
        trainers["GRPOTrainer"].max_completion_length = MAX_NEW_TOKENS
        for inputs in draws:
            for trainer in trainers.values():
                trainer.drawn_rewards = inputs["rewards"].tolist()
            active[:] = [trainers["GRPOTrainer"]]
            results.append(of_trl(inputs, trainers))
        on_a_model = loss_on_a_model(draws[0], trainers["GRPOTrainer"], folder)
    versions = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": str(torch.__version__)}
    torch.save(
        {"versions": versions, "results": results, "model": on_a_model, "plugged in": run_plugged_in(folder)},
        folder / "peer.pt",
    )


# The course's side.


def of_part3(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return what part 3's functions compute on drawn inputs."""
    import part3_policy_gradients as part3  # The harness has put solutions/ on the path.
    from transformers import AutoTokenizer

    eos = AutoTokenizer.from_pretrained(EMBEDDED).eos_token_id
    mask, advantages = inputs["mask"], inputs["advantages"][:, None].expand_as(inputs["mask"])
    found = {
        "completion_mask": part3.completion_mask(inputs["completion_ids"], eos),
        "group_advantages, divided": part3.group_advantages(inputs["rewards"], GROUP),
        "group_advantages, not divided": part3.group_advantages(inputs["rewards"], GROUP, scale_by_std=False),
        "rloo_advantages": part3.rloo_advantages(inputs["rewards"], GROUP),
        "compute_gae": part3.compute_gae(inputs["values"], inputs["token_rewards"], mask, GAMMA, LAM),
        "verify_sorted": torch.tensor([part3.verify_sorted(*pair) for pair in VERIFIED]),
    }
    for loss_type, kind in LOSS_TYPES.items():
        logprobs = inputs["logprobs"].clone().requires_grad_(True)
        token_loss = part3.grpo_clip_loss(logprobs, inputs["old_logprobs"], advantages, CLIP_LOW, CLIP_HIGH)
        loss = part3.aggregate_loss(token_loss, mask, kind, MAX_NEW_TOKENS if kind == "constant" else None)
        found |= with_gradients({_loss_name(loss_type): loss}, [logprobs])
    for kind in ("k1", "k2", "k3"):
        logprobs = inputs["logprobs"].clone().requires_grad_(True)
        estimate = part3.kl_estimate(logprobs, inputs["ref_logprobs"], kind)
        mean = part3.aggregate_loss(estimate, mask, "token_mean")
        found |= with_gradients({f"kl_estimate, mean of {kind}": mean}, [logprobs])
    logits = inputs["logits"].clone().requires_grad_(True)
    loss = part3.sft_loss(logits, inputs["logit_ids"], inputs["loss_mask"])
    return found | with_gradients({"sft_loss": loss}, [logits])


def loss_of_part3(folder: Path) -> dict[str, torch.Tensor]:
    """Return the loss of part 3's `GRPOTrainer` on TRL's batch and model, with the gradients that both models name."""
    import part3_policy_gradients as part3
    from transformers import AutoModelForCausalLM

    from rlhf_course import GRPOBatch, TaskArgs, load_model

    batch = torch.load(folder / "batch.pt")
    mask = batch["completion_mask"].bool()
    rollout = GRPOBatch(
        input_ids=torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
        attention_mask=torch.cat([batch["prompt_mask"].bool(), mask], dim=1),
        completion_mask=mask,
        old_logprobs=batch["old_per_token_logps"],
        rewards=torch.zeros(len(mask)),
        advantages=batch["advantages"][:, None].expand(mask.shape),
    )
    args = TaskArgs(clip_low=CLIP_LOW, clip_high=CLIP_HIGH, max_new_tokens=MAX_NEW_TOKENS, group_size=GROUP)
    trainer = part3.GRPOTrainer(args, load_model(str(folder / "moved")))
    named = {
        name.replace("._original_component", ""): parameter
        for name, parameter in torch.nn.Module.named_parameters(trainer.model.original_model)
    }
    names = [name for name, _ in AutoModelForCausalLM.from_pretrained(folder / "moved").named_parameters()]
    loss = trainer.loss(rollout)
    wanted = [named[name] for name in names if name in named]
    gradients = dict(zip((n for n in names if n in named), torch.autograd.grad(loss, wanted), strict=True))
    return {"loss": loss.detach(), **gradients}


def tune(folder: Path, task_name: str = "sorting") -> None:
    """Teach the embedded model demonstrations by part 3's `sft_loss`, and save it with prompts of the task."""
    import part3_policy_gradients as part3
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rlhf_course import TASKS
    from rlhf_course.rl.batches import encode

    torch.manual_seed(1)
    task, tokenizer = TASKS[task_name], AutoTokenizer.from_pretrained(EMBEDDED)
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=SFT_LR, betas=(0.9, 0.95), weight_decay=0.0)
    for step in range(SFT_STEPS):
        prompts = task.prompts(64, seed=step)
        batch = encode(tokenizer, prompts, [task.demonstration(prompt) for prompt in prompts])
        logits = model(batch.input_ids).logits
        optimizer.zero_grad()
        loss = part3.sft_loss(logits, batch.input_ids, batch.completion_mask)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = SFT_LR * min(1.0, (step + 1) / WARMUP_STEPS)
        optimizer.step()
    assert loss.isfinite()
    model.save_pretrained(folder / "tuned")
    tokenizer.save_pretrained(folder / "tuned")
    (folder / "prompts.json").write_text(json.dumps(task.prompts(TASK_PROMPTS, seed=1)))


def plugged_in(found: dict[str, Any]) -> dict[str, float]:
    """Compare what TRL's trainer did with part 3's functions with what these functions say of its batch."""
    import part3_policy_gradients as part3
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    mask = part3.completion_mask(found["completion_ids"], tokenizer.eos_token_id)
    texts = [tokenizer.decode(ids[row]) for ids, row in zip(found["completion_ids"], mask, strict=True)]
    prompts = [text.removeprefix(tokenizer.bos_token) for text in found["prompts"]]
    rewards = torch.tensor([part3.verify_sorted(*pair) for pair in zip(prompts, texts, strict=True)])
    groups = rewards.reshape(-1, TASK_GROUP)
    losses = found["losses"]
    return {
        "completions": len(texts),
        "share of right completions": rewards.mean().item(),
        "share of mixed groups": (groups.amax(1) > groups.amin(1)).float().mean().item(),
        "different masks": int((mask != found["completion_mask"]).sum()),
        "different rewards": int((rewards != found["rewards"]).sum()),
        "advantages": _largest(part3.group_advantages(rewards, TASK_GROUP), found["advantages"]),
        "loss": _largest(losses["TRL"], losses["part 3"]),
        "gradients": _largest(losses["TRL: gradient"], losses["part 3: gradient"]),
        "largest gradient": losses["TRL: gradient"].abs().max().item(),
        "optimizer steps": found["steps"],
    }


def _largest(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours.detach().double() - theirs.detach().double()).abs().max())


def on_a_model(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], folder: Path) -> dict[str, float]:
    """Compare the losses of both trainers on one model, and their gradients at the weights that both models have."""
    from transformers import AutoModelForCausalLM

    shapes = {
        name: value.shape for name, value in AutoModelForCausalLM.from_pretrained(folder / "moved").named_parameters()
    }
    flat = theirs["loss: gradient"].split([shape.numel() for shape in shapes.values()])
    gradients = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), flat, strict=True)}
    return {
        "loss": _largest(ours["loss"], theirs["loss"]),
        "gradients": max(_largest(ours[name], gradients[name]) for name in gradients if name in ours),
        "largest gradient": max(float(gradients[name].abs().max()) for name in gradients if name in ours),
        "logprobs by TRL without positions": _largest(
            theirs["logprobs without positions"], theirs["logprobs with positions"]
        ),
    }


# The formulas.


def by_formulas(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the same values and gradients from formulas, as loops over numbers."""
    rows = {name: value.tolist() for name, value in inputs.items() if name != "logits"}
    eos = _eos()
    found = {
        "completion_mask": [[eos not in ids[:position] for position in range(GEN)] for ids in rows["completion_ids"]],
        "group_advantages, divided": _of_groups(rows["rewards"], lambda own, others, dev: (own - _mean(others)) / dev),
        "group_advantages, not divided": _of_groups(rows["rewards"], lambda own, others, dev: own - _mean(others)),
        "rloo_advantages": _of_groups(
            rows["rewards"], lambda own, others, dev: own - (sum(others) - own) / (GROUP - 1)
        ),
        "compute_gae": [
            _gae(*parts) for parts in zip(rows["values"], rows["token_rewards"], rows["mask"], strict=True)
        ],
        "verify_sorted": [float(_is_sorted(*pair)) for pair in VERIFIED],
    }
    for loss_type, kind in LOSS_TYPES.items():
        found |= _weighted(_loss_name(loss_type), _clipped(rows), rows["mask"], kind)
    for kind in ("k1", "k2", "k3"):
        found |= _weighted(f"kl_estimate, mean of {kind}", _kl(rows, kind), rows["mask"], "token_mean")
    values = {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}
    return values | _sft_by_formula(inputs)


def _eos() -> int:
    from transformers import AutoTokenizer

    return int(AutoTokenizer.from_pretrained(EMBEDDED).eos_token_id)


def _mean(numbers: list[float]) -> float:
    return math.fsum(numbers) / len(numbers)


def _of_groups(rewards: list[float], formula: Any) -> list[float]:
    groups = [rewards[start : start + GROUP] for start in range(0, len(rewards), GROUP)]
    found = []
    for group in groups:
        deviation = math.sqrt(sum((reward - _mean(group)) ** 2 for reward in group) / (GROUP - 1)) + 1e-4
        found += [formula(reward, group, deviation) for reward in group]
    return found


def _gae(values: list[float], rewards: list[float], mask: list[bool]) -> list[float]:
    """Return advantages as sums of discounted deltas, rather than by recursion."""
    length = sum(mask)
    after = [*values[1:length], 0.0]
    deltas = [rewards[t] + GAMMA * after[t] - values[t] for t in range(length)]
    sums = [sum((GAMMA * LAM) ** (later - t) * deltas[later] for later in range(t, length)) for t in range(length)]
    return sums + [0.0] * (len(values) - length)


def _is_sorted(prompt: str, completion: str) -> bool:
    """Return whether a completion has each digit of its prompt as often, in order, and then its end alone."""
    digits, end, rest = completion.partition("<|endoftext|>")
    wanted = prompt.removesuffix("=")
    as_often = all(digits.count(digit) == wanted.count(digit) for digit in "0123456789")
    in_order = all(first <= second for first, second in itertools.pairwise(digits))
    return bool(end) and not rest and as_often and in_order and len(digits) == len(wanted)


def _clipped(rows: dict[str, Any]) -> list[list[tuple[float, float]]]:
    """Return each token's loss and its derivative."""

    def token(logprob: float, old: float, advantage: float) -> tuple[float, float]:
        ratio = math.exp(logprob - old)
        bound = 1 + CLIP_HIGH if advantage > 0 else 1 - CLIP_LOW
        if (ratio > bound) if advantage > 0 else (ratio < bound):
            return -bound * advantage, 0.0
        return -ratio * advantage, -ratio * advantage

    return [
        [token(*pair, advantage) for pair in zip(logprobs, old, strict=True)]
        for logprobs, old, advantage in zip(rows["logprobs"], rows["old_logprobs"], rows["advantages"], strict=True)
    ]


def _kl(rows: dict[str, Any], kind: str) -> list[list[tuple[float, float]]]:
    """Return each token's estimate and its derivative."""

    def token(logprob: float, ref: float) -> tuple[float, float]:
        ratio = logprob - ref
        if kind == "k1":
            return ratio, 1.0
        return (ratio**2 / 2, ratio) if kind == "k2" else (math.exp(-ratio) - 1 + ratio, 1 - math.exp(-ratio))

    return [
        [token(*pair) for pair in zip(logprobs, refs, strict=True)]
        for logprobs, refs in zip(rows["logprobs"], rows["ref_logprobs"], strict=True)
    ]


def _weighted(
    name: str, tokens: list[list[tuple[float, float]]], mask: list[list[bool]], kind: str
) -> dict[str, float | list[float]]:
    """Return the sum of tokens, each with the weight that the kind gives it, and the gradient."""
    whole = sum(map(sum, mask))
    value, gradient = 0.0, []
    for row, real in zip(tokens, mask, strict=True):
        share = {
            "sequence_mean": 1 / (len(mask) * sum(real)),
            "token_mean": 1 / whole,
            "constant": 1 / (len(mask) * MAX_NEW_TOKENS),
        }[kind]
        for (loss, derivative), is_real in zip(row, real, strict=True):
            value += share * loss * is_real
            gradient.append(share * derivative * is_real)
    return {name: value, f"{name}: gradient": gradient}


def _sft_by_formula(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the mean of minus the log-probabilities of the targets, and its gradient, from probabilities."""
    logits, ids, mask = inputs["logits"], inputs["logit_ids"], inputs["loss_mask"]
    count = int(mask[:, 1:].sum())
    value, gradient = 0.0, torch.zeros_like(logits)
    for text, position in mask.nonzero().tolist():
        if position == 0:
            continue
        exponentials = logits[text, position - 1].exp()
        probabilities = exponentials / exponentials.sum()
        value -= math.log(probabilities[ids[text, position]]) / count
        gradient[text, position - 1] = probabilities / count
        gradient[text, position - 1, ids[text, position]] -= 1 / count
    return {"sft_loss": torch.tensor(value, dtype=torch.float64), "sft_loss: gradient": gradient.flatten()}


def main() -> None:
    """Compute all sides, and write the largest differences."""
    if not TRL_PYTHON.is_file():
        sys.exit("TRL is not installed: `make trl` installs it into .venv-trl")
    os.environ["HF_HUB_OFFLINE"] = "1"
    from harness import write_results
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    inputs = [draw(seed, len(tokenizer), tokenizer.eos_token_id) for seed in range(DRAWS)]
    ours, formulas = [of_part3(each) for each in inputs], [by_formulas(each) for each in inputs]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tune(folder)
        torch.save(inputs, folder / "inputs.pt")
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'utils'}"}
        subprocess.run([TRL_PYTHON, __file__, "peer", folder], check=True, env=environment)
        peer = torch.load(folder / "peer.pt")
        model = on_a_model(loss_of_part3(folder), peer["model"], folder)
    with_a_peer = [{name: each[name] for name in peer["results"][0]} for each in ours]
    results = {
        "versions": peer["versions"],
        "draws": DRAWS,
        "largest_difference_from_trl": largest_differences(with_a_peer, peer["results"]),
        "largest_difference_from_formulas": largest_differences(ours, formulas),
        "GRPOTrainer.loss on the embedded model": model,
        "part 3 in TRL's trainer": plugged_in(peer["plugged in"]),
        "page_code": page_code(),
    }
    write_results("part3_against_trl", results)


if __name__ == "__main__":
    run_peer(Path(sys.argv[2])) if sys.argv[1:2] == ["peer"] else main()
