"""Measure a phase by TRL and by the lean trainer: `make trl`, then `.venv/bin/python benchmarks/trl_phase.py`

TRL 1.16 has no PPO any more; its `GRPOTrainer` is the nearest: it samples a batch, scores it, reads it with the
reference for a KL penalty, and learns from it. It gets the same embedded model, 128 texts of 30 tokens and 8
optimizer steps. It has no value head to train and one group of all texts. It runs in a virtual environment of its own
(.venv-trl), as a process that this script starts; the lean trainer runs in this one, and the two take turns.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRL_PYTHON = ROOT / ".venv-trl" / "bin" / "python"
PHASES = 3  # phases of a process, of which the first warms up


def time_trl() -> None:
    """Print wall and CPU time of each phase but the first, in the process that runs in TRL's environment."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    folder = ROOT / "utils" / "rlhf_course" / "models" / "embedded"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    times: list[tuple[float, float]] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step % 8 == 0:
                times.append((time.perf_counter(), time.process_time()))

        def on_train_end(self, args, state, control, **kwargs):
            times.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as out:
        # A device batch has 32 texts. 4 batches are sampled together and learnt from twice, which makes 8 optimizer
        # steps for 128 texts.
        config = GRPOConfig(
            output_dir=out,
            per_device_train_batch_size=32,
            gradient_accumulation_steps=1,
            steps_per_generation=4,
            num_iterations=2,
            num_generations=128,
            max_completion_length=30,
            generation_kwargs={"min_new_tokens": 30},
            beta=0.5,
            top_k=10,
            learning_rate=1e-6,
            max_steps=8 * PHASES,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_steps=1000,
            disable_tqdm=True,
            bf16=False,
            gradient_checkpointing=False,
            dataloader_num_workers=0,
        )
        trainer = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=lambda completions, **kwargs: [float(text.count(".")) for text in completions],
            args=config,
            train_dataset=Dataset.from_dict({"prompt": ["<|endoftext|>This is"] * 512}),
            callbacks=[Clock()],
        )
        trainer.train()
    durations = [(end[0] - start[0], end[1] - start[1]) for start, end in itertools.pairwise(times)]
    print(json.dumps(durations[1:]))


def main() -> None:
    """Time both in turn, and write the results."""
    if not TRL_PYTHON.is_file():
        sys.exit("TRL is not installed: `make trl` installs it into .venv-trl")
    os.environ["HF_HUB_OFFLINE"] = "1"
    from harness import REPEATS, measurement, spread
    from phase import phase_of

    from rlhf_course import RLHFArgs, named_reward
    from rlhf_course.learner_package import trainer_class

    args = RLHFArgs(base_model="embedded", kl_coef=0.5, warmup_steps=0, base_lr=1e-6, reward_fn=named_reward("periods"))
    phases = {"answers": phase_of(trainer_class()(args)), "lean": phase_of(trainer_class(lean=True)(args))}
    times: dict[str, list[tuple[float, float]]] = {"TRL GRPOTrainer": [], "answers": [], "lean": []}
    for phase in phases.values():
        phase()
    with measurement("trl") as results:
        while len(times["TRL GRPOTrainer"]) < REPEATS + 1:
            output = subprocess.run([TRL_PYTHON, __file__, "peer"], check=True, capture_output=True, text=True).stdout
            times["TRL GRPOTrainer"] += map(tuple, json.loads(output.splitlines()[-1]))
            for name, phase in phases.items():
                for _ in range(PHASES - 1):
                    began, used = time.perf_counter(), time.process_time()
                    phase()
                    times[name].append((time.perf_counter() - began, time.process_time() - used))
        measured = {
            name: {"seconds": spread([clock for clock, _ in pairs]), "cpu_seconds": spread([used for _, used in pairs])}
            for name, pairs in times.items()
        }
        faster = {
            name: {key: measured["TRL GRPOTrainer"][key]["median"] / figures[key]["median"] for key in figures}
            for name, figures in measured.items()
        }
        results |= {"batch": 128, "gen_len": 30, "phase": measured, "times_as_fast_as_trl": faster}


if __name__ == "__main__":
    time_trl() if sys.argv[1:] == ["peer"] else main()
