"""Shorten the runs of notebooks that are executed only to see whether they run."""

import os
from collections.abc import Mapping
from typing import Any

_VARIABLE = "RLHF_COURSE_SHORT"


def shortened(settings: Mapping[str, Any], short: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings, with those that make it short where the environment variable RLHF_COURSE_SHORT is 1."""
    return {**settings, **short} if os.environ.get(_VARIABLE) == "1" else dict(settings)
