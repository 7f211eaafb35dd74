"""The base class of the trainer: everything around the three methods that the exercise asks for."""

import math
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from torch import Tensor

from rlhf_course.code import code_in_use, exercise
from rlhf_course.errors import CourseError
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.device import pick_device
from rlhf_course.rl.memory import ReplayMemory, ReplayMinibatch
from rlhf_course.rl.models import BridgeModel
from rlhf_course.rl.objective import calc_clipped_surrogate_objective, calc_value_function_loss
from rlhf_course.rl.rewards import check_reward, describe_reward
from rlhf_course.rl.run_folder import RunFolder, load_checkpoint, load_config
from rlhf_course.rl.samples import check_length
from rlhf_course.rl.schedule import get_optimizer_and_scheduler

_SAMPLES_SHOWN = 3
_CHECKPOINT_EVERY = 10

# Called after each phase with its row of metrics and its samples.
Watch = Callable[[dict[str, Any], list[dict[str, Any]]], None]


class Trainer:
    """One RLHF run. A subclass adds `compute_rlhf_objective`, `rollout_phase` and `learning_phase`.

    Attributes:
        args: the run's settings.
        model: the policy with its value head, in train mode.
        ref_model: the pretrained model, frozen, in eval mode.
        optimizer, scheduler: as `get_optimizer_and_scheduler` gives them.
        prefix_len: tokens of the prompt, with the beginning-of-sequence token where it is prepended.
        step: optimizer steps so far.
        phase: phases finished so far.
        samples: the texts of the latest rollout.
        run_name: what the run is called on disk and in Weights & Biases.
    """

    def __init__(self, args: RLHFArgs) -> None:
        self.args = args
        _seed_everything(args.seed)
        device = pick_device()
        model_class = exercise("HookedTransformerWithValueHead")
        self.model = model_class.from_pretrained(args.base_model).to(device).train()
        self.ref_model = BridgeModel.from_pretrained(args.base_model, use_value_head=False).to(device).eval()
        self.ref_model.requires_grad_(False)
        self.optimizer, self.scheduler = get_optimizer_and_scheduler(args, self.model)
        self.prefix_len = self.model.to_tokens(args.prefix, prepend_bos=args.prepend_bos).shape[1]
        check_length(self.model.cfg.n_ctx, self.prefix_len, args.gen_len)
        self.step = 0
        self.phase = 0
        self.samples: list[str] = []
        model_name = Path(args.base_model).name
        self.run_name = f"{datetime.now():%Y%m%d-%H%M%S}-{describe_reward(args.reward_fn)['name'].split(':')[-1]}-{model_name}"
        # Exercises that the reference answers in this run, for its record.
        self.reference: list[str] = []
        self._raw_reward: Float[Tensor, "batch"] | None = None
        self._logged: dict[str, list[float]] = defaultdict(list)
        self._stop_asked = False
        self._unpaused = threading.Event()
        self._unpaused.set()
        self._paused_seconds = 0.0
        self.optimizer.register_step_post_hook(lambda *_: self._wait_while_paused())

    # The exercise.

    def compute_rlhf_objective(self, minibatch: ReplayMinibatch) -> Float[Tensor, ""]:
        """What is maximised. Written by the learner."""
        raise NotImplementedError

    def rollout_phase(self) -> ReplayMemory:
        """Sample texts and prepare them for learning. Written by the learner."""
        raise NotImplementedError

    def learning_phase(self, memory: ReplayMemory) -> float:
        """Learn from a rollout. Written by the learner."""
        raise NotImplementedError

    # What the exercise may use.

    def reward(self, samples: list[str]) -> Float[Tensor, "batch"]:
        """The run's reward of each text, checked, on the model's device; it is recorded as the raw reward.

        Raises:
            CourseError: the reward function did not return a finite float for each text.
        """
        with torch.no_grad():
            reward = check_reward(self.args.reward_fn(samples), len(samples)).detach().float()
        self.samples = samples
        self._raw_reward = reward.cpu()
        return reward.to(self.model.cfg.device)

    def log(self, **metrics: float | Tensor) -> None:
        """Add numbers of your own to the phase's record; what is logged several times in a phase is averaged."""
        for name, value in metrics.items():
            self._logged[name].append(float(value))

    # The loop.

    def train(
        self, out: str | Path | None = None, resume: bool = False, show: bool = True, watch: Watch | None = None
    ) -> RunFolder:
        """Run the phases that remain, recording each.

        Ctrl-C ends the run after the phase it is in, with a checkpoint; a second one ends it at once. In another thread than
        the main one, which alone gets Ctrl-C, `stop` does the same.

        Args:
            out: the run's folder; by default `runs/<run_name>` below the current folder.
            resume: go on with the run in `out`.
            show: print a progress bar and a few samples of every phase.
            watch: called after each phase, in the thread that trains, with the phase's row of metrics and its samples
                (each with `phase, reward, ref_logprob, text`).

        Returns: the run's folder.

        Raises:
            CourseError: `out` is in use or cannot be written, there is no whole run in it to resume, the reward is not
                one, or this trainer has finished.
        """
        if self.phase == self.args.total_phases:
            raise CourseError("this trainer has done all its phases: make a new one to train again")
        self._stop_asked = False
        self.reward([self.args.prefix] * 2)  # a reward function that cannot be used is refused before a folder is made
        path = Path(out) if out is not None else Path("runs") / self.run_name
        folder = self._resumed(path) if resume else self._started(path)
        console = Console(quiet=not show)
        with self._wandb_run(path) as wandb_run, self._interruptible(console), _progress(console) as progress:
            task = progress.add_task("", total=self.args.total_phases, completed=self.phase, note="")
            while self.phase < self.args.total_phases and not self._stop_asked:
                row, samples = self._run_phase(folder)
                console.print(_sample_table(row, samples[:_SAMPLES_SHOWN]))
                note = f"reward {row['mean_reward']:.2f}  KL {row['kl']:.3f}"
                progress.update(task, completed=self.phase, note=note)
                if wandb_run is not None:
                    wandb_run.log(row)
                if watch is not None:
                    watch(row, samples)
                self._wait_while_paused()
            self._save(folder)
        console.print(f"{self.phase} of {self.args.total_phases} phases done; the run is in {path}")
        return folder

    def stop(self) -> None:
        """End `train` after the phase it is in, even when it is paused. Any thread may call this."""
        self._stop_asked = True
        self._unpaused.set()

    def pause(self) -> None:
        """Hold `train` after the optimizer step it is in, until `unpause` or `stop`. Any thread may call this."""
        self._unpaused.clear()

    def unpause(self) -> None:
        """Let a paused `train` go on. Any thread may call this."""
        self._unpaused.set()

    def _wait_while_paused(self) -> None:
        began = time.perf_counter()
        self._unpaused.wait()
        self._paused_seconds += time.perf_counter() - began

    def _run_phase(self, folder: RunFolder) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """One phase: roll out, learn, record; returns its row of metrics and its samples."""
        began = time.perf_counter()
        self._paused_seconds = 0.0
        self._raw_reward = None
        self._logged.clear()
        lr = self.optimizer.param_groups[0]["lr"]
        memory = self.rollout_phase()
        texts = self.model.tokenizer.batch_decode(memory.sample_ids)
        if self._raw_reward is None:
            self.reward(texts)
        objective = _finite(float(self.learning_phase(memory)), self.phase)
        row = {
            "phase": self.phase,
            "mean_reward": self._raw_reward.mean().item(),
            "objective": objective,
            **self._measure(memory),
            "lr": lr,
            "seconds": time.perf_counter() - began - self._paused_seconds,
        }
        row |= {name: fmean(values) for name, values in self._logged.items() if name not in row}
        ref_logprobs = self._ref_logprobs(memory)
        samples = [
            {"phase": self.phase, "reward": reward, "ref_logprob": logprob, "text": text}
            for reward, logprob, text in zip(self._raw_reward.tolist(), ref_logprobs, texts, strict=True)
        ]
        folder.add_phase(row, samples)
        self.phase += 1
        if self.phase % _CHECKPOINT_EVERY == 0:
            self._save(folder)
        return row, samples

    def _save(self, folder: RunFolder) -> None:
        """Keep a checkpoint and draw the curve, unless the newest checkpoint is of this phase."""
        if not folder.has_checkpoint(self.phase):
            folder.save_checkpoint(self.phase, self._state())
            folder.draw()

    @torch.no_grad()
    def _measure(self, memory: ReplayMemory) -> dict[str, float]:
        """The objective's terms after the phase's learning, on its first minibatch.

        Entropy and KL are without their coefficients, so that a run with `kl_coef=0` shows how far it has strayed.
        """
        args, gen = self.args, self.args.gen_len
        rows = memory.rows(slice(0, args.minibatch_size))
        logits, values = self.model.forward_with_value_head(rows.sample_ids)
        chosen = slice(-gen - 1, -1)
        logprobs = exercise("get_logprobs")(logits, rows.sample_ids, self.prefix_len)
        ratio = (logprobs - rows.logprobs).exp()
        terms = {
            "clipped_surrogate": calc_clipped_surrogate_objective(
                logprobs, rows.logprobs, rows.advantages, args.clip_coef, gen
            ),
            "value_loss": calc_value_function_loss(values[:, chosen], rows.returns, args.vf_coef, gen),
            "entropy": exercise("calc_entropy_bonus")(logits[:, chosen], 1.0, gen),
            "kl": exercise("calc_kl_penalty")(logits[:, chosen], rows.ref_logits[:, chosen], 1.0, gen),
            "clipfrac": ((ratio - 1).abs() > args.clip_coef).float().mean(),
            "mean_value": values[:, chosen].mean(),
        }
        return {name: float(value) for name, value in terms.items()}

    @torch.no_grad()
    def _ref_logprobs(self, memory: ReplayMemory) -> list[float]:
        """Log-probability of each sample's generated part under the reference model, a minibatch at a time."""
        get_logprobs = exercise("get_logprobs")
        logprobs: list[float] = []
        for rows in torch.arange(self.args.batch_size).split(self.args.minibatch_size):
            part = memory.rows(rows)
            logprobs += get_logprobs(part.ref_logits, part.sample_ids, self.prefix_len).sum(-1).tolist()
        return logprobs

    # The record.

    def _config(self) -> dict[str, Any]:
        """What `config.json` holds: enough to run the same again."""
        settings = {**vars(self.args), "reward_fn": describe_reward(self.args.reward_fn)}
        return {
            "args": settings,
            "run_name": self.run_name,
            "code": str(code_in_use()),
            "reference": self.reference,
            "device": str(self.model.cfg.device),
            "torch": torch.__version__,
        }

    def _state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        numpy_state = np.random.get_state(legacy=False)
        return {
            "phase": self.phase,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "python_rng": random.getstate(),
            "numpy_rng": {**numpy_state, "state": {**numpy_state["state"], "key": numpy_state["state"]["key"].tolist()}},
        }

    def _started(self, path: Path) -> RunFolder:
        """A new run's folder, with a first checkpoint, so that the run can be resumed whenever it stops."""
        folder = RunFolder.create(path, self._config())
        folder.save_checkpoint(self.phase, self._state())
        return folder

    def _resumed(self, path: Path) -> RunFolder:
        """Take up the run in a folder where its newest checkpoint left it."""
        config, mine = load_config(path), self._config()["args"]
        if differing := [name for name, value in mine.items() if config["args"].get(name) != value]:
            raise CourseError(f"{path} is a run with another {', '.join(differing)}: resume it with its own settings")
        state = load_checkpoint(path)
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise CourseError(f"the checkpoint in {path} does not fit this model and optimizer: {error}") from error
        self.run_name, self.phase, self.step = config["run_name"], state["phase"], state["step"]
        torch.set_rng_state(state["torch_rng"])
        if state["cuda_rng"]:
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        random.setstate(state["python_rng"])
        np.random.set_state(state["numpy_rng"])
        return RunFolder.reopen(path, self.phase, self.args.batch_size)

    @contextmanager
    def _wandb_run(self, path: Path) -> Iterator[Any]:
        """A Weights & Biases run while `train` runs, or None where the settings ask for none."""
        if not self.args.use_wandb:
            yield None
            return
        import wandb

        run = wandb.init(
            project=self.args.wandb_project_name,
            entity=self.args.wandb_entity,
            name=self.run_name,
            config=self._config(),
            dir=path,
        )
        try:
            yield run
        finally:
            run.finish()

    @contextmanager
    def _interruptible(self, console: Console) -> Iterator[None]:
        """Turn the first Ctrl-C into a stop at the end of the phase. Signals reach the main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_interrupt(signum: int, frame: Any) -> None:
            if self._stop_asked:
                raise KeyboardInterrupt
            self.stop()
            console.print("stopping after this phase (Ctrl-C again: at once, back to the last checkpoint)")

        before = signal.signal(signal.SIGINT, on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _finite(objective: float, phase: int) -> float:
    """The objective as it came.

    Raises:
        CourseError: it is not a number, so that the model is lost.
    """
    if not math.isfinite(objective):
        raise CourseError(
            f"the objective was {objective} in phase {phase + 1}, and the model is lost: lower base_lr, and do not "
            "normalise the reward of a batch of one, which has no deviation; the last checkpoint is as it was"
        )
    return objective


def _progress(console: Console) -> Progress:
    columns = (TextColumn("phase"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    return Progress(*columns, console=console)


def format_reward(reward: float) -> str:
    """A reward to be shown: whole numbers as such, others with decimals."""
    return f"{reward:.0f}" if float(reward).is_integer() else f"{reward:.3f}"


def _sample_table(row: dict[str, Any], samples: list[dict[str, Any]]) -> Table:
    title = f"phase {row['phase'] + 1}: mean reward {row['mean_reward']:.2f}, KL {row['kl']:.3f}"
    table = Table(title=title, title_justify="left", expand=True)
    table.add_column("reward", justify="right")
    table.add_column("ref logprob", justify="right")
    table.add_column("text", ratio=1)
    for sample in samples:
        text = Text(sample["text"].replace("\n", "⏎"))
        table.add_row(format_reward(sample["reward"]), f"{sample['ref_logprob']:.1f}", text)
    return table
