"""Reduce a run's folder to what `recorded_run`, the browser tests and the docs show of it: python record.py RUN NAME.

The recorded runs were trained by `rlhf-course train --profile laptop` with `--run collapse`, `--run periods`,
`--run sentiment` and `--run sentiment --direction neg` (named sentiment-neg). The run overoptimise is the one that
`benchmarks/preferences.py` trains without a KL penalty, with the first seed.
"""

import json
import shutil
import sys
from pathlib import Path

from rlhf_course.paths import RECORDED_RUNS
from rlhf_course.rl.rewards import REWARD_MODEL

TEXTS_PER_PHASE = 32


def record(run: Path, name: str) -> Path:
    """Copy settings, metrics and the first texts of each phase to the folder of recorded runs."""
    home = RECORDED_RUNS / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    shutil.copy(run / "metrics.csv", home)
    config = json.loads((run / "config.json").read_text())
    config["code"] = Path(config["code"]).name
    config["run_name"] = name
    config["wandb_id"] = name
    reward = config["args"]["reward_fn"]
    if reward["name"].startswith(REWARD_MODEL):  # its folder is on the machine that trained it
        reward["name"] = REWARD_MODEL + Path(reward["name"]).name
    for key in ("folder", "relative_to_this_file"):
        config.pop(key, None)
    (home / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    counts: dict[int, int] = {}
    with open(run / "samples.jsonl") as source, open(home / "samples.jsonl", "w") as target:
        for line in source:
            sample = json.loads(line)
            counts[sample["phase"]] = counts.get(sample["phase"], 0) + 1
            if counts[sample["phase"]] <= TEXTS_PER_PHASE:
                target.write(line)
    return home


if __name__ == "__main__":
    print(record(Path(sys.argv[1]), sys.argv[2]))
