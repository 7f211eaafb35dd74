"""Define the base class of the trainer, which does everything but the three methods that the exercise asks for."""

import math
import re
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import code_in_use, imported_answer
from rlhf_course.recording import PhaseMetrics, recorded_phase, require_result
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.matmul import onednn_matmul
from rlhf_course.rl.memory import ReplayMemory, ReplayMinibatch
from rlhf_course.rl.memory_need import advice_when_full, free_bytes, memory_note, needed_bytes
from rlhf_course.rl.reference import ReferenceModel
from rlhf_course.rl.rewards import check_reward, describe_reward
from rlhf_course.rl.run_folder import (
    METRICS,
    RunFolder,
    claim_folder,
    load_checkpoint,
    load_config,
    located,
    locations,
    locked,
    new_folder,
    write_config,
)
from rlhf_course.rl.samples import check_length, prompt_tokens
from rlhf_course.rl.schedule import get_optimizer_and_scheduler
from rlhf_course.rl.show import Display
from rlhf_course.rl.state import random_state, restore_random_state, seed_everything
from rlhf_course.rl.types import PhaseCallback, Row
from rlhf_course.rl.wandb_log import check_wandb, wandb_log

_CHECKPOINT_INTERVAL = 10


class Trainer:
    """Train a policy by RLHF. A subclass adds `compute_rlhf_objective`, `rollout_phase` and `learning_phase`.

    The metrics of a phase are what its functions returned. Entropy and KL are recorded without their coefficients: as
    the result of `calc_entropy_bonus` and `calc_kl_penalty` divided by the coefficient. When a coefficient is 0, the
    function is called with 1 instead, its result is recorded, and 0 times the result goes into the objective; the
    exercise asks for a result that is proportional to the coefficient, so the objective is the same.

    Attributes:
        use_value_head: Whether the policy has a value head; a subclass that learns without values sets it to False.
        lean: Whether this is the solutions' lean trainer, which `config.json` records.
        args: The run's settings.
        model: The policy with its value head, in train mode.
        ref_model: The pretrained model, frozen, in eval mode.
        optimizer, scheduler: The result of `get_optimizer_and_scheduler`.
        prefix_len: Number of tokens of the prompt, with the beginning-of-sequence token where it is prepended.
        step: Number of optimizer steps so far.
        phase: Number of finished phases.
        samples: The texts of the latest rollout.
        run_name: The run's name on disk and in Weights & Biases.
        reference: The exercises whose reference solution is used in this run, which `config.json` records.
    """

    use_value_head = True
    lean = False

    def __init__(self, args: RLHFArgs) -> None:
        self.args = args
        seed_everything(args.seed)
        model_class = imported_answer("HookedTransformerWithValueHead")
        self.model = model_class.from_pretrained(args.base_model, use_value_head=self.use_value_head).train()
        self.ref_model = ReferenceModel.from_pretrained(args.base_model, use_value_head=False)
        self.optimizer, self.scheduler = get_optimizer_and_scheduler(args, self.model)
        prompt_ids = prompt_tokens(self.model.base_model, args.prefix, args.prepend_bos)
        self.prefix_len = prompt_ids.shape[1]
        check_length(self.model.cfg.n_ctx, self.prefix_len, args.gen_len)
        _check_forward(self.model, prompt_ids)
        self.step = 0
        self.phase = 0
        self.samples: list[str] = []
        self.run_name = _run_name(args)
        self.reference: list[str] = []
        self._wandb_id = uuid.uuid4().hex[:12]
        self._raw_reward: Float[Tensor, "batch"] | None = None
        self._logged = PhaseMetrics()
        self._stop_requested = False
        self._running = threading.Event()
        self._running.set()
        self._paused_seconds = 0.0
        self.optimizer.register_step_post_hook(lambda *_: self._wait_while_paused())

    # The methods of the exercise.

    def compute_rlhf_objective(self, minibatch: ReplayMinibatch) -> Float[Tensor, ""]:
        """Compute the objective, which is maximised. Written by the learner."""
        raise NotImplementedError

    def rollout_phase(self) -> ReplayMemory:
        """Sample texts and prepare them for learning. Written by the learner."""
        raise NotImplementedError

    def learning_phase(self, memory: ReplayMemory) -> float:
        """Learn from a rollout. Written by the learner."""
        raise NotImplementedError

    # The methods that the exercise may call.

    def reward(self, samples: list[str]) -> Float[Tensor, "batch"]:
        """Return the reward of each text on the model's device, and record it as the phase's raw reward.

        Raises:
            CourseError: The reward function did not return a finite float for each text.
        """
        with torch.no_grad():
            # A reward function gets a list of its own, which it may sort or empty.
            reward = check_reward(self.args.reward_fn(list(samples)), len(samples)).detach().float()
        self.samples = list(samples)
        self._raw_reward = reward.cpu().clone()  # the caller may change what it gets
        return reward.to(self.model.cfg.device, copy=True)

    def log(self, **metrics: float | Tensor) -> None:
        """Add metrics of your own to the phase's row; a metric that is logged several times in a phase is averaged."""
        self._logged.add(**metrics)

    # The training loop.

    def train(
        self, out: str | Path | None = None, resume: bool = False, show: bool = True, watch: PhaseCallback | None = None
    ) -> RunFolder:
        """Run the remaining phases, and record each.

        Ctrl-C ends the run after the current phase, with a checkpoint; a second Ctrl-C ends it immediately. Only the
        main thread gets Ctrl-C; in another thread, call `stop`.

        Args:
            out: The run's folder; by default `runs/<run_name>` below the current folder.
            resume: Continue the run in `out`.
            show: Print a progress bar and a few samples of every phase.
            watch: A function that is called after each phase, in the thread that trains, with the phase's row of
                metrics and its samples (each with `phase, reward, ref_logprob, text`).

        Returns:
            The run's folder.

        Raises:
            CourseError: `out` is in use or cannot be written, it holds no complete run to resume, the reward function
                returns something else than rewards, or this trainer has finished.
        """
        if self.phase == self.args.total_phases:
            raise CourseError("this trainer has finished all its phases: make a new one to train again")
        self._stop_requested = False
        self.reward([self.args.prefix] * 2)  # refuses a wrong reward function before a folder is made
        check_wandb(self.args)
        path = self._folder_path(out, resume)
        with ExitStack() as stack:
            folder = stack.enter_context(self._resume_folder(path) if resume else self._new_folder(path))
            display = stack.enter_context(Display(show, self.args.total_phases, self.phase))
            log = stack.enter_context(wandb_log(self.args, path, self._config(path), display.show_warning))
            stack.enter_context(self._interruptible(display))
            display.show_message(self._memory_note())
            while self.phase < self.args.total_phases and not self._stop_requested:
                row, samples = self._run_phase(folder, display)
                display.phase(row, samples)
                if log is not None:
                    log.add(row, samples)
                if watch is not None:
                    watch(dict(row), [dict(sample) for sample in samples])
                self._wait_while_paused()
            self._save(folder, display)
        display.show_message(f"{self.phase} of {self.args.total_phases} phases done; the run is in {path}")
        return folder

    def stop(self) -> None:
        """End `train` after the current phase, even while it is paused. Any thread may call this."""
        self._stop_requested = True
        self._running.set()

    def pause(self) -> None:
        """Pause `train` after the current optimizer step, until `unpause` or `stop`. Any thread may call this."""
        self._running.clear()

    def unpause(self) -> None:
        """Continue a paused `train`. Any thread may call this."""
        self._running.set()

    def _wait_while_paused(self) -> None:
        """Wait while the run is paused; the time does not count as the phase's."""
        began = time.perf_counter()
        self._running.wait()
        self._paused_seconds += time.perf_counter() - began

    def _run_phase(self, folder: RunFolder, display: Display) -> tuple[Row, list[Row]]:
        """Run and record one phase, and return its row of metrics and its samples."""
        began = time.perf_counter()
        self._paused_seconds = 0.0
        self._raw_reward = None
        self._logged = PhaseMetrics()
        lr = self.optimizer.param_groups[0]["lr"]
        memory = self._checked_rollout()
        texts = self.model.tokenizer.batch_decode(memory.sample_ids)
        if self._raw_reward is None:  # the learner did not call `reward`
            self.reward(texts)
        assert self._raw_reward is not None
        objective, terms = self._checked_learning(memory)
        row: Row = dict.fromkeys(METRICS, math.nan)
        row |= {
            "phase": self.phase,
            "mean_reward": self._raw_reward.mean().item(),
            "objective": objective,
            **terms,
            "lr": lr,
        }
        row["seconds"] = time.perf_counter() - began - self._paused_seconds
        measured = getattr(self.args.reward_fn, "metrics", None)  # a reward may measure more than it pays for
        extra = {**self._logged.means(), **(measured(list(self.samples)) if callable(measured) else {})}
        row |= {name: value for name, value in extra.items() if name not in row}
        samples = [
            {"phase": self.phase, "reward": reward, "ref_logprob": logprob, "text": text}
            for reward, logprob, text in zip(self._raw_reward.tolist(), self._ref_logprobs(memory), texts, strict=True)
        ]
        if self.phase == 0:
            _show_missing_metrics(row, terms, display)
        folder.add_phase(row, samples)
        self.phase += 1
        if self.phase % _CHECKPOINT_INTERVAL == 0:
            self._save(folder, display)
        return row, samples

    def _checked_rollout(self) -> ReplayMemory:
        """Run the learner's `rollout_phase`, and return its memory.

        Raises:
            CourseError: It returned something else, or one of the learner's functions returned None.
        """
        with recorded_phase(), onednn_matmul(), advice_when_full("rollout", self.args):
            memory = self.rollout_phase()
        if not isinstance(memory, ReplayMemory):
            raise CourseError(f"rollout_phase returned a {type(memory).__name__}, should return a ReplayMemory")
        if isinstance(self.ref_model, ReferenceModel):  # a subclass may use another reference
            memory.release_ref_logits(self.ref_model)
        return memory

    def _checked_learning(self, memory: ReplayMemory) -> tuple[float, dict[str, float]]:
        """Run the learner's `learning_phase`.

        Returns:
            The mean objective of the phase, and the mean of each term of the objective, by metric. Entropy and KL are
            without their coefficients, so a run with `kl_coef=0` still shows how far the policy is from the reference.

        Raises:
            CourseError: The objective is not a number, or one of the learner's functions returned None.
        """
        advice = advice_when_full("learning", self.args)
        with recorded_phase() as terms, self._objective_required(), onednn_matmul(), advice:
            objective = self.learning_phase(memory)
        if not isinstance(objective, int | float) and getattr(objective, "numel", lambda: 0)() != 1:
            raise CourseError(
                f"learning_phase returned a {type(objective).__name__}, should return the mean objective: a number"
            )
        return _check_finite(float(objective), self.phase), terms.means()

    @contextmanager
    def _objective_required(self) -> Iterator[None]:
        """Raise a CourseError in place of returning None from `compute_rlhf_objective`, until the block ends."""
        compute = self.compute_rlhf_objective
        overridden = "compute_rlhf_objective" in vars(self)

        @wraps(compute)
        def required(*args: Any, **kwargs: Any) -> Any:
            return require_result("compute_rlhf_objective", compute(*args, **kwargs))

        vars(self)["compute_rlhf_objective"] = required
        try:
            yield
        finally:
            del vars(self)["compute_rlhf_objective"]
            if overridden:
                vars(self)["compute_rlhf_objective"] = compute

    def _memory_note(self) -> str:
        """Return a line on the run's estimated peak memory; the estimate assumes a trainer that keeps whole logits."""
        parameters = sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)
        needed = needed_bytes(self.args, self.model.cfg, parameters, self.prefix_len + self.args.gen_len)
        return memory_note(needed, free_bytes(torch.device(self.model.cfg.device)))

    def _save(self, folder: RunFolder, display: Display) -> None:
        """Write a checkpoint and the plot, unless there is a checkpoint of this phase."""
        if folder.has_checkpoint(self.phase):
            return
        folder.save_checkpoint(self.phase, self._state())
        try:
            folder.draw()
        except Exception as error:  # training goes on without its plot
            display.show_warning(f"no reward.png: {type(error).__name__}: {error}")

    @torch.no_grad()
    def _ref_logprobs(self, memory: ReplayMemory) -> list[float]:
        """Return the log-probability of each sample's generated part under the reference model."""
        get_logprobs = imported_answer("get_logprobs")
        logprobs: list[float] = []
        for rows in torch.arange(self.args.batch_size).split(self.args.minibatch_size):
            minibatch = memory.rows(rows)  # the logits of a whole batch may not fit into memory
            logprobs += get_logprobs(minibatch.ref_logits, minibatch.sample_ids, self.prefix_len).sum(-1).tolist()
        return logprobs

    # The run's settings and checkpoints.

    def _settings(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return {**vars(self.args), "reward_fn": describe_reward(self.args.reward_fn)}

    def _folder_path(self, out: str | Path | None, resume: bool) -> Path:
        """Return the run's folder: `out`, or one in `runs/` that no other run has, by whose name the run is called."""
        if out is not None:
            return Path(out)
        if resume:
            return Path("runs") / self.run_name
        path = claim_folder(Path("runs"), self.run_name)
        self.run_name = path.name
        return path

    def _config(self, path: Path) -> dict[str, Any]:
        """Return the content of `config.json` in a folder, from which the run can be repeated."""
        return {
            "args": self._settings(),
            "run_name": self.run_name,
            "wandb_id": self._wandb_id,
            **locations(path, code_in_use(), Path.cwd()),
            "lean": self.lean,
            "reference": self.reference,
            "device": str(self.model.cfg.device),
            "torch": torch.__version__,
        }

    def _state(self) -> dict[str, Any]:
        """Return the content of a checkpoint: everything that the rest of the run depends on."""
        return {
            "args": self._settings(),
            "phase": self.phase,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            **random_state(),
        }

    @contextmanager
    def _new_folder(self, path: Path) -> Iterator[RunFolder]:
        """Make and lock a new run's folder, with a first checkpoint, so that the run can be resumed at any time."""
        with new_folder(path):
            folder = RunFolder.create(path, self._config(path))
            folder.save_checkpoint(self.phase, self._state())
            yield folder

    @contextmanager
    def _resume_folder(self, path: Path) -> Iterator[RunFolder]:
        """Lock a run's folder, and restore the state of its newest checkpoint."""
        config, settings = load_config(path), self._settings()
        if differing := [name for name, value in settings.items() if config["args"].get(name) != value]:
            raise CourseError(f"{path} is a run with another {', '.join(differing)}: resume it with its own settings")
        with locked(path):
            state = load_checkpoint(path)
            folder = RunFolder.reopen(path, state["phase"], self.args.batch_size)
            try:
                self.model.load_state_dict(state["model"])
                self.optimizer.load_state_dict(state["optimizer"])
                self.scheduler.load_state_dict(state["scheduler"])
                restore_random_state(state)
            except (KeyError, ValueError, RuntimeError, TypeError) as error:
                raise CourseError(f"the checkpoint in {path} does not fit this model and optimizer: {error}") from error
            self.run_name, self._wandb_id = config["run_name"], config["wandb_id"]
            self.phase, self.step = state["phase"], state["step"]
            folder.truncate(self.phase)
            write_config(path, {**config, **locations(path, code_in_use(), located(path, config, "folder"))})
            yield folder

    @contextmanager
    def _interruptible(self, display: Display) -> Iterator[None]:
        """Let the first Ctrl-C in the block stop the run after the phase. Only the main thread gets signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_interrupt(signum: int, frame: Any) -> None:
            if self._stop_requested:
                raise KeyboardInterrupt
            self.stop()
            display.show_message(
                "stopping after this phase (Ctrl-C again stops now, and loses the phases after the last checkpoint)"
            )

        before = signal.signal(signal.SIGINT, on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _run_name(args: RLHFArgs) -> str:
    """Return the run's start time, reward and model as a name that is valid on every file system."""
    reward = describe_reward(args.reward_fn)["name"].split(":")[-1]
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{reward}-{Path(args.base_model).name}"
    return re.sub(r"[^\w.-]+", "_", name)[:100]


def _check_forward(model: Any, ids: Tensor) -> None:
    """Check that a model's forward pass returns logits, and a value at every position where it has a value head.

    Raises:
        CourseError: It returns something else.
    """
    with torch.no_grad():
        result = model.forward_with_value_head(ids)
    if not isinstance(result, tuple) or len(result) != 2:
        raise CourseError(f"forward_with_value_head returned a {type(result).__name__}, should return (logits, values)")
    values = result[1]
    if model.value_head is not None and getattr(values, "shape", None) != ids.shape:
        got = "None" if values is None else f"values of shape {list(getattr(values, 'shape', []))}"
        raise CourseError(
            f"forward_with_value_head returned {got} for {ids.shape[1]} tokens, should return values of shape "
            f"{list(ids.shape)}: run_value_head should store them in self.value_head_output"
        )


def _show_missing_metrics(row: Row, terms: dict[str, float], display: Display) -> None:
    """Print which metrics a phase did not record, if any."""
    missing = [name for name in METRICS if name not in terms and math.isnan(row[name])]
    if missing:
        display.show_message(
            f"not recorded: {', '.join(missing)}: compute_rlhf_objective did not call the functions that compute "
            "them (import yours from their part's package)"
        )


def _check_finite(objective: float, phase: int) -> float:
    """Return the objective of a phase.

    Raises:
        CourseError: It is infinite or NaN; the model's parameters are then useless.
    """
    if not math.isfinite(objective):
        raise CourseError(
            f"the objective was {objective} in phase {phase + 1}, which makes the model useless: lower base_lr, and "
            "do not normalise the reward of a batch of one, which has no standard deviation; the last checkpoint is "
            "unchanged"
        )
    return objective
