"""A phase by TRL, beside the lean trainer's: `make trl`, then `.venv/bin/python benchmarks/trl_phase.py`

TRL 1.16 has no PPO any more; its `GRPOTrainer` is the nearest: it samples a batch, scores it, reads it with the
reference for a KL penalty, and learns from it. Here with the same embedded model, 128 texts of 30 tokens and 8
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
PEER = ROOT / ".venv-trl" / "bin" / "python"
PHASES = 3  # of a process; the first warms up


def peer() -> None:
    """In TRL's environment: print the seconds, by the clock and of the processor, of each phase but the first."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    folder = ROOT / "utils" / "rlhf_course" / "models" / "embedded"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    taken: list[tuple[float, float]] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step % 8 == 0:
                taken.append((time.perf_counter(), time.process_time()))

        def on_train_end(self, args, state, control, **kwargs):
            taken.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as out:
        # 32 texts a device's batch, 4 of which are sampled together and learnt from twice: 8 optimizer steps for 128
        # texts.
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
    spans = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(taken)]
    print(json.dumps(spans[1:]))


def main() -> None:
    if not PEER.is_file():
        sys.exit("TRL is not here: `make trl` installs it into .venv-trl")
    os.environ["HF_HUB_OFFLINE"] = "1"
    from harness import REPEATS, keep, machine, spread
    from phase import phase_of

    from rlhf_course import RLHFArgs, named_reward
    from rlhf_course.learner_package import trainer_class

    args = RLHFArgs(base_model="embedded", kl_coef=0.5, warmup_steps=0, base_lr=1e-6, reward_fn=named_reward("periods"))
    phases = {"answers": phase_of(trainer_class()(args)), "lean": phase_of(trainer_class(lean=True)(args))}
    where = machine()
    taken: dict[str, list[tuple[float, float]]] = {"TRL GRPOTrainer": [], "answers": [], "lean": []}
    for phase in phases.values():
        phase()
    while len(taken["TRL GRPOTrainer"]) < REPEATS + 1:
        shown = subprocess.run([PEER, __file__, "peer"], check=True, capture_output=True, text=True).stdout
        taken["TRL GRPOTrainer"] += map(tuple, json.loads(shown.splitlines()[-1]))
        for name, phase in phases.items():
            for _ in range(PHASES - 1):
                began, used = time.perf_counter(), time.process_time()
                phase()
                taken[name].append((time.perf_counter() - began, time.process_time() - used))
    both = {
        name: {"seconds": spread([clock for clock, _ in pairs]), "cpu_seconds": spread([used for _, used in pairs])}
        for name, pairs in taken.items()
    }
    trl = both["TRL GRPOTrainer"]
    faster = {
        name: {key: trl[key]["median"] / one[key]["median"] for key in ("cpu_seconds", "seconds")}
        for name, one in both.items()
    }
    keep("trl", {"machine": where, "batch": 128, "gen_len": 30, "phase": both, "times_as_fast_as_trl": faster})


if __name__ == "__main__":
    peer() if sys.argv[1:] == ["peer"] else main()
