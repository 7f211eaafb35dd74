"""Define the settings of the named runs on each profile, for `RLHFArgs.for_profile`."""

from typing import Any

from rlhf_course.errors import CourseError
from rlhf_course.rl.device import pick_device
from rlhf_course.rl.rewards import REWARD_MODEL, named_reward
from rlhf_course.rl.settings import SENTIMENT_PREFIX

RUNS = ("collapse", "periods", "sentiment", "overoptimise")

# A top_k that cuts nothing from the distribution of any model.
WHOLE_VOCABULARY = 1_000_000

# The fields that a run sets on every profile.
_RUN_SETTINGS: dict[str, dict[str, Any]] = {
    "collapse": {"kl_coef": 0.0, "total_phases": 30, "warmup_steps": 0},
    "periods": {},
    "sentiment": {"prefix": SENTIMENT_PREFIX, "gen_len": 50, "total_phases": 150},
    # Texts as the reward model's pairs were sampled: from the whole distribution.
    "overoptimise": {"prefix": SENTIMENT_PREFIX, "gen_len": 24, "top_k": WHOLE_VOCABULARY, "kl_coef": 0.0},
}

# The embedded model is fifty times smaller than GPT-2: it needs larger steps and a smaller KL penalty.
_LAPTOP_SETTINGS: dict[str, dict[str, Any]] = {
    "collapse": {"base_lr": 3e-4, "final_scale": 0.5},
    "periods": {"base_lr": 1e-4, "head_lr": 1e-3, "warmup_steps": 5, "kl_coef": 1.0, "total_phases": 60},
    "sentiment": {"base_lr": 1e-4, "head_lr": 1e-3, "warmup_steps": 5, "kl_coef": 0.5, "total_phases": 60},
    "overoptimise": {
        "base_lr": 7e-5,
        "head_lr": 1e-3,
        "warmup_steps": 0,
        "final_scale": 1.0,
        "batch_size": 64,
        "num_minibatches": 1,
        "ent_coef": 0.0,
        "total_phases": 45,
    },
}

_MODELS = {"laptop": "embedded", "gpu": "gpt2-small", "gpu-fast": "gpt2-small+bf16+compile", "gpu-large": "gpt2-medium"}
PROFILES = tuple(_MODELS)


def resolve_profile(name: str) -> str:
    """Return the profile of a name; "auto" is "gpu" where torch finds an accelerator, and "laptop" elsewhere.

    Raises:
        CourseError: There is no such profile.
    """
    if name == "auto":
        return "laptop" if pick_device().type == "cpu" else "gpu"
    if name not in PROFILES:
        raise CourseError(f"profile takes auto, {', '.join(PROFILES)}, got {name!r}")
    return name


def reward_name(profile: str, run: str) -> str:
    """Return the name of the reward of a run on a resolved profile."""
    if run == "overoptimise":
        return REWARD_MODEL
    if run != "sentiment":
        return "periods"
    return "sentiment-embedded" if profile == "laptop" else "sentiment-imdb"


def settings_of(name: str, run: str) -> dict[str, Any]:
    """Return the fields that a profile and a run set, by field name.

    Raises:
        CourseError: There is no such profile or run.
    """
    profile = resolve_profile(name)
    if run not in RUNS:
        raise CourseError(f"run takes {', '.join(RUNS)}, got {run!r}")
    laptop = _LAPTOP_SETTINGS[run] if profile == "laptop" else {}
    settings = {"base_model": _MODELS[profile], **_RUN_SETTINGS[run], **laptop}
    name = reward_name(profile, run)
    return settings if name == REWARD_MODEL else {**settings, "reward_fn": named_reward(name)}
