"""Read part 3's recorded figures of several seeds."""

import json
from functools import cache
from typing import Any

from rlhf_course.paths import RECORDED_RUNS


@cache
def recorded_seeds() -> dict[int, dict[str, Any]]:
    """Return the recorded figures of each seed, in order."""
    files = RECORDED_RUNS.glob("policy_gradients_seed*.json")
    seeds = {int(file.stem.removeprefix("policy_gradients_seed")): json.loads(file.read_text()) for file in files}
    return dict(sorted(seeds.items()))
