"""Learn RLHF for transformer language models by writing it.

All code that the course gives to learners can be imported from this package. Torch and TransformerLens are loaded when
a name that needs them is first used.
"""

import importlib
import os
import warnings
from typing import Any

# OpenMP's threads wait for each other thousands of times in a phase. With these settings, which must be made before
# torch loads, they spin for some microseconds and then sleep. By default they spin for milliseconds, which takes much
# longer while another program is busy (a browser is enough); to sleep at once takes longer while none is.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# eindex indexes a tensor with a list, which the pinned version of torch reads as eindex means it. The warning would say
# nothing about the code of a learner who uses eindex.
warnings.filterwarnings("ignore", message="Using a non-tuple sequence", category=UserWarning, module=r"eindex\b")

_LAZY_EXPORTS = {
    "RLHFArgs": "rl.args",
    "BridgeModel": "rl.models",
    "load_model": "rl.models",
    "get_samples": "rl.samples",
    "ReplayMemory": "rl.memory",
    "ReplayMinibatch": "rl.memory",
    "calc_value_function_loss": "rl.objective",
    "calc_clipped_surrogate_objective": "rl.objective",
    "get_optimizer_and_scheduler": "rl.schedule",
    "Trainer": "rl.trainer",
    "load_classifier": "rl.classifier",
    "named_reward": "rl.rewards",
    "gold_rewards": "judges",
    "simulated_preferences": "judges",
    "Pair": "rl.preferences.pairs",
    "sample_completions": "rl.preferences.pairs",
    "gold_of": "rl.preferences.pairs",
    "labelled_pairs": "rl.preferences.pairs",
    "Labelling": "rl.preferences.labels",
    "PairArgs": "rl.preferences.args",
    "RewardModelTrainer": "rl.preferences.reward_model",
    "latest_reward_model": "rl.preferences.reward_model",
    "load_reward_model": "rl.preferences.reward_model",
    "predicted_rewards": "rl.preferences.reward_model",
    "DPOTrainer": "rl.preferences.dpo",
    "fit_linear_reward": "rl.preferences.probe",
    "linear_accuracy": "rl.preferences.probe",
    "TaskArgs": "rl.policy_gradients.args",
    "TASKS": "rl.policy_gradients.tasks",
    "generate_completions": "rl.policy_gradients.completions",
    "accuracy": "rl.policy_gradients.task_trainer",
    "demonstration_loss": "rl.policy_gradients.sft",
    "GRPOBatch": "rl.policy_gradients.batch",
    "GroupTrainer": "rl.policy_gradients.group_trainer",
    "pass_at_k": "rl.policy_gradients.pass_at_k",
    "token_states": "rl.policy_gradients.critics",
    "fit_linear_critic": "rl.policy_gradients.critics",
    "EXERCISES": "course",
    "use_code": "learner_package",
    "check": "notebook.checking",
    "passed": "notebook.checking",
    "hint": "notebook.guide",
    "hand_in": "notebook.hand_in",
    "inputs_of": "notebook.guide",
    "solution": "notebook.guide",
    "recorded_run": "notebook.recorded",
    "progress": "widgets.progress_page",
    "reset": "notebook.magic",
    "load": "notebook.magic",
    "predict": "notebook.predictions",
    "compare": "notebook.predictions",
    "open_training": "notebook.gate",
    "train_run": "notebook.gate",
    "pair_trainer": "notebook.pair_training",
    "task_trainer": "notebook.task_training",
    "kl_explorer": "widgets.kl_explorer",
    "advantage_picture": "widgets.advantage_picture",
    "objective_explorer": "widgets.objective_explorer",
    "dashboard": "widgets.dashboard",
    "gallery": "widgets.gallery",
    "label_pairs": "widgets.labelling",
    "preference_picture": "widgets.preference_picture",
    "policy_picture": "widgets.policy_picture",
}
__all__ = sorted(_LAZY_EXPORTS)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _LAZY_EXPORTS:
        raise AttributeError(f"module 'rlhf_course' has no attribute {name!r}")
    return getattr(importlib.import_module(f"rlhf_course.{_LAZY_EXPORTS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """Register the magic `%%exercise` on `%load_ext rlhf_course`, as `import rlhf_course.notebook` does."""
    importlib.import_module("rlhf_course.notebook").register()
