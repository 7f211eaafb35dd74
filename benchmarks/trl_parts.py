"""Measure parts 2 and 3 beside TRL's trainers: `make trl`, then `.venv/bin/python benchmarks/trl_parts.py`

Sampling, a step of a reward model, a step of DPO and a phase of GRPO are done by the course and by TRL 1.16: with the
same weights, batch sizes, lengths, losses and numbers of optimizer steps, AdamW and a clipped gradient norm. Both
record their metrics. What differs:

- TRL turns the pairs into token ids before its first step, and the course does it in each step;
- the course's reward model has no scale in its last layer norm;
- the course's sampling also computes the entropy of what it samples from.

TRL runs in an environment of its own (.venv-trl), as a process for each work that this script starts. A process does
one step when it is told to, so that TRL and the course take turns.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TRL_PYTHON = ROOT / ".venv-trl" / "bin" / "python"
PAIRS, PAIR_BATCH, GEN_LEN = 320, 32, 24
TASK, PROMPTS, GROUP, TOKENS = "even", 32, 8, 8
LR = 1e-6  # so small that all steps have texts of about the same length
SAMPLING, REWARD, DPO, GRPO = "sampling", "reward model step", "DPO step", "GRPO phase"
WORKS = (SAMPLING, REWARD, DPO, GRPO)
_REPORT = "seconds: "
Times = dict[str, tuple[float, float]]


class Stopwatch:
    """Sum wall and CPU time by name.

    Attributes:
        times: Wall and CPU seconds since `take`.
    """

    def __init__(self) -> None:
        self.times: Times = {}

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that adds the time of each call."""

        def wrapper(*arguments: Any, **named: Any) -> Any:
            began, used = time.perf_counter(), time.process_time()
            result = call(*arguments, **named)
            clock, cpu = self.times.get(name, (0.0, 0.0))
            self.times[name] = clock + time.perf_counter() - began, cpu + time.process_time() - used
            return result

        return wrapper

    def take(self, name: str, seconds: tuple[float, float]) -> Times:
        """Return the times with that of the whole work, and what is left of it, and start anew."""
        times, self.times = self.times, {}
        for part, (clock, cpu) in list(times.items()):
            times[f"{name}, learning"] = seconds[0] - clock, seconds[1] - cpu
            times[f"{name}, {part}"] = times.pop(part)
        return {name: seconds} | times


# TRL's side, in its environment.


def run_peer(work: str, folder: Path) -> None:
    """Do a step of a work for each line on stdin, and print its times."""
    {SAMPLING: _sample_by_trl, REWARD: _reward_by_trl, DPO: _dpo_by_trl, GRPO: _grpo_by_trl}[work](folder)


def _wait() -> tuple[float, float]:
    """Wait until a line comes on stdin, and return wall and CPU time; end the process where stdin was closed."""
    if not sys.stdin.readline():
        os._exit(0)
    return time.perf_counter(), time.process_time()


def _report(times: Times) -> None:
    print(f"\n{_REPORT}{json.dumps(times)}", flush=True)


def _since(began: tuple[float, float]) -> tuple[float, float]:
    return time.perf_counter() - began[0], time.process_time() - began[1]


def _turns(name: str, steps: int, watch: Stopwatch) -> Any:
    """Return a callback of TRL's trainers that waits before each work, of some steps, and reports it afterwards.

    The loading of the next batch is part of a work.
    """
    from transformers import TrainerCallback

    class Turns(TrainerCallback):
        began: tuple[float, float] | None = None

        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step % steps:
                return
            _report({} if self.began is None else watch.take(name, _since(self.began)))
            self.began = _wait()

    return Turns()


def _common(out: str) -> dict[str, Any]:
    """Return the settings that all trainers of TRL get."""
    return {
        "output_dir": out,
        "gradient_accumulation_steps": 1,
        "learning_rate": LR,
        "max_grad_norm": 1.0,
        "max_steps": 1000,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_num_workers": 0,
        "report_to": [],
        "save_strategy": "no",
        "logging_steps": 1000,
        "disable_tqdm": True,
    }


def _pairs(folder: Path) -> Any:
    from datasets import Dataset

    return Dataset.from_list(_read(folder / "pairs.json"))


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _reward_by_trl(folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    model = AutoModelForSequenceClassification.from_pretrained(folder / "tuned", num_labels=1, dtype=torch.float32)
    with tempfile.TemporaryDirectory() as out:
        RewardTrainer(
            model=model,
            args=RewardConfig(per_device_train_batch_size=PAIR_BATCH, weight_decay=0.1, **_common(out)),
            processing_class=AutoTokenizer.from_pretrained(folder / "tuned"),
            train_dataset=_pairs(folder),
            callbacks=[_turns(REWARD, 1, Stopwatch())],
        ).train()


def _dpo_by_trl(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    with tempfile.TemporaryDirectory() as out:
        DPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder / "tuned", dtype=torch.float32),
            args=DPOConfig(
                per_device_train_batch_size=PAIR_BATCH,
                weight_decay=0.01,
                beta=0.1,
                precompute_ref_log_probs=True,
                **_common(out),
            ),
            processing_class=AutoTokenizer.from_pretrained(folder / "tuned"),
            train_dataset=_pairs(folder),
            callbacks=[_turns(DPO, 1, Stopwatch())],
        ).train()


def _grpo_trainer(folder: Path, out: str, callbacks: list[Any]) -> Any:
    """Return TRL's trainer with the settings of the course's run `grpo`."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    from rlhf_course import TASKS, use_code

    use_code(str(ROOT / "solutions"))
    task, tokenizer = TASKS[TASK], AutoTokenizer.from_pretrained(folder / "tuned")

    def reward(prompts: list[str], completion_ids: list[list[int]], **columns: Any) -> list[float]:
        texts = [tokenizer.decode(ids) for ids in completion_ids]
        digits = [prompt.removeprefix(tokenizer.bos_token) for prompt in prompts]
        return [task.verify(prompt, text) for prompt, text in zip(digits, texts, strict=True)]

    return GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder / "tuned", dtype=torch.float32),
        processing_class=tokenizer,
        reward_funcs=reward,
        train_dataset=Dataset.from_dict({"prompt": [tokenizer.bos_token + prompt for prompt in task.prompts(512, 1)]}),
        args=GRPOConfig(
            per_device_train_batch_size=PROMPTS * GROUP,
            num_generations=GROUP,
            num_iterations=2,
            max_completion_length=TOKENS,
            beta=0.0,
            loss_type="grpo",
            adam_beta2=0.95,
            weight_decay=0.0,
            **_common(out),
        ),
        callbacks=callbacks,
    )


def _grpo_by_trl(folder: Path) -> None:
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as out:
        trainer = _grpo_trainer(folder, out, [_turns(GRPO, 2, watch)])
        rollout = watch.timed("rollout", trainer._generate_and_score_completions)
        trainer._generate_and_score_completions = rollout
        trainer.train()


def _sample_by_trl(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as out:
        trainer = _grpo_trainer(folder, out, [])
        bos = trainer.processing_class.bos_token
        prompts = [bos + prompt for prompt in _read(folder / "task_prompts.json")]
        _report({})
        while True:
            began = _wait()
            ids, _, fields = trainer._tokenize_prompts(prompts)
            completions, _ = trainer._generate_single_turn(ids, None, fields, GROUP)
            trainer.processing_class.batch_decode(completions)
            _report({SAMPLING: _since(began)})


# The course's side.


class Peer:
    """A process in TRL's environment that does a work step by step."""

    def __init__(self, work: str, folder: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "utils"), "TRANSFORMERS_VERBOSITY": "error"}
        self.process = subprocess.Popen(
            [TRL_PYTHON, __file__, "peer", work, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def result(self) -> Times:
        """Wait for the times of the latest work; there are none when it is ready for the first one."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(_REPORT):
                return json.loads(line.removeprefix(_REPORT))
        raise RuntimeError("TRL's process ended; its messages are above")

    def step(self) -> Times:
        """Do the work once, and return its times."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        return self.result()

    def close(self) -> None:
        """End the process, and wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def our_works(folder: Path) -> dict[str, Callable[[], Times]]:
    """Return a function for each work that does it once and returns its times, and write what TRL needs to a folder."""
    from part3_against_trl import tune

    from rlhf_course import TASKS, TaskArgs, load_model
    from rlhf_course.learner_package import imported_answer
    from rlhf_course.rl.policy_gradients.completions import generate_completions
    from rlhf_course.rl.preferences.args import PairArgs
    from rlhf_course.rl.preferences.dpo import DPOTrainer
    from rlhf_course.rl.preferences.reward_model import RewardModelTrainer

    tune(folder, TASK)
    tuned = str(folder / "tuned")
    prompts = [prompt for prompt in TASKS[TASK].prompts(PROMPTS, 1) for _ in range(GROUP)]
    (folder / "task_prompts.json").write_text(json.dumps(prompts))
    pairs = sampled_pairs(folder)
    reward, dpo = (
        trainer(PairArgs.for_run(run, base_model=tuned, pairs=PAIRS, gen_len=GEN_LEN, base_lr=LR), (pairs, pairs[:2]))
        for trainer, run in ((RewardModelTrainer, "reward_model"), (DPOTrainer, "dpo"))
    )
    settings = {"task": TASK, "prompts": PROMPTS, "group_size": GROUP, "max_new_tokens": TOKENS, "base_lr": LR}
    args = TaskArgs.for_run("grpo", **settings, total_phases=10_000, evaluation_interval=10_000)
    grpo = imported_answer("GRPOTrainer")(args, load_model(tuned))
    sampler, watch = load_model(tuned), Stopwatch()
    grpo.rollout = watch.timed("rollout", grpo.rollout)
    calls = {
        SAMPLING: lambda: generate_completions(sampler, prompts, TOKENS),
        REWARD: _next_phase(reward),
        DPO: _next_phase(dpo),
        GRPO: _next_phase(grpo),
    }
    return {work: _measured(work, call, watch) for work, call in calls.items()}


def _next_phase(trainer: Any) -> Callable[[], None]:
    def run() -> None:
        trainer.run_phase()
        trainer.phase += 1

    return run


def _measured(work: str, call: Callable[[], Any], watch: Stopwatch) -> Callable[[], Times]:
    def step() -> Times:
        began = time.perf_counter(), time.process_time()
        call()
        return watch.take(work, _since(began))

    return step


def sampled_pairs(folder: Path) -> list[Any]:
    """Sample pairs of film reviews, each with an end as TRL adds it, and write them as TRL takes them."""
    from rlhf_course import load_model
    from rlhf_course.rl.preferences.pairs import Pair, sample_completions
    from rlhf_course.rl.settings import SENTIMENT_PREFIX
    from rlhf_course.rl.special_tokens import END_OF_TEXT

    model = load_model("embedded")
    texts = sample_completions(model, SENTIMENT_PREFIX, 2 * PAIRS, GEN_LEN)
    ended = [text.removesuffix(END_OF_TEXT) + END_OF_TEXT for text in texts]
    pairs = [Pair(SENTIMENT_PREFIX, *both) for both in zip(ended[0::2], ended[1::2], strict=True)]
    begin = model.tokenizer.bos_token
    rows = [{"prompt": begin + pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected} for pair in pairs]
    (folder / "pairs.json").write_text(json.dumps(rows))
    return pairs


def take_turns(ours: dict[str, Callable[[], Times]], peers: dict[str, Peer], repeats: int) -> dict[str, dict[str, Any]]:
    """Do every work by TRL and by the course in rounds, of which the first warms up, and return all times by name."""
    from harness import spread

    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for round_ in range(repeats + 1):
        for work, step in ours.items():
            for side, times in (("TRL", peers[work].step()), ("the course", step())):
                for name, pair in times.items():
                    found.setdefault(name, {}).setdefault(side, []).extend([pair] if round_ else [])
    return {
        name: {
            side: {"seconds": spread([clock for clock, _ in pairs]), "cpu_seconds": spread([cpu for _, cpu in pairs])}
            for side, pairs in sides.items()
        }
        for name, sides in found.items()
    }


def main() -> None:
    """Time both in turn, and write the results."""
    if not TRL_PYTHON.is_file():
        sys.exit("TRL is not installed: `make trl` installs it into .venv-trl")
    os.environ["HF_HUB_OFFLINE"] = "1"
    from harness import REPEATS, measurement, ratios

    with tempfile.TemporaryDirectory() as name, measurement("trl_parts") as results:
        ours = our_works(Path(name))
        peers = {work: Peer(work, Path(name)) for work in WORKS}
        try:
            for peer in peers.values():
                peer.result()
            measured = take_turns(ours, peers, REPEATS)
        finally:
            for peer in peers.values():
                peer.close()
        results |= {
            "pairs": {"batch": PAIR_BATCH, "gen_len": GEN_LEN},
            "task": {"prompts": PROMPTS, "group_size": GROUP, "max_new_tokens": TOKENS, "optimizer_steps": 2},
            "works": measured,
            "times_as_fast_as_trl": {
                work: {key: ratios(sides, "TRL", key)["the course"] for key in ("cpu_seconds", "seconds")}
                for work, sides in measured.items()
            },
        }


if __name__ == "__main__":
    run_peer(sys.argv[2], Path(sys.argv[3])) if sys.argv[1:2] == ["peer"] else main()
