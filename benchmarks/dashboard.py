"""Measure the share of a run's time that the training thread spends on updating the dashboard.

    .venv/bin/python benchmarks/dashboard.py [--phases 12]

The run is trained in a Jupyter kernel, as in a notebook, and both times are taken in that one run. The result goes to
`benchmarks/results/dashboard.json`. It does not include the time that a browser takes to render.
"""

import argparse
import json
import tempfile

import nbformat
from harness import measurement
from nbclient import NotebookClient

LIMIT = 0.03
_CELL = """
import json, time
from pathlib import Path
import rlhf_course
rlhf_course.use_code()
from part1_rlhf import RLHFTrainer
from rlhf_course import RLHFArgs
from rlhf_course.widgets.dashboard_model import DashboardModel
from rlhf_course.widgets.dashboard_view import DashboardView
from rlhf_course.widgets.training import TrainingThread

trainer = RLHFTrainer(RLHFArgs.for_profile("laptop", "collapse", total_phases=PHASES))
model, display_seconds, redrawn = DashboardModel.from_trainer(trainer, Path("run")), [], []
model._redraws = [
    (task, lambda task=task, redraw=redraw: (redraw(), redrawn.append(task))) for task, redraw in model._redraws
]

def on_phase(row, samples):
    start = time.perf_counter()
    model.add_phase(row, samples)
    display_seconds.append(time.perf_counter() - start)

model.training = TrainingThread(trainer, model.path, on_phase, model.on_end)
model.display(DashboardView)
model.budget.start()
model.training.start()
await model.training.wait()
assert model.training.status == "finished", model.training.error
train_seconds = sum(row["seconds"] for row in model.rows)
print("RESULT", json.dumps({
    "phases": len(model.rows),
    "seconds_a_phase": round(train_seconds / len(model.rows), 2),
    "share_of_a_phase": round(sum(display_seconds) / train_seconds, 4),
    "curves_drawn": redrawn.count("curves"),
    "samples_scored": redrawn.count("samples"),
}))
"""


def measure(phases: int) -> dict[str, float]:
    """Train some phases of `collapse` with a dashboard, and return the time of both."""
    cell = nbformat.v4.new_code_cell(_CELL.replace("PHASES", str(phases)))
    notebook = nbformat.v4.new_notebook(cells=[cell])
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook, timeout=3600, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    (line,) = [line for line in printed.splitlines() if line.startswith("RESULT ")]
    return json.loads(line.removeprefix("RESULT "))


def main() -> None:
    """Measure, write the result, and fail where the dashboard's share is above `LIMIT`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phases", type=int, default=12)
    phases = parser.parse_args().phases
    with measurement("dashboard") as results:
        results |= measure(phases)
    if results["share_of_a_phase"] > LIMIT:
        raise SystemExit(
            f"the dashboard takes {results['share_of_a_phase']:.1%} of a phase, and should take at most {LIMIT:.0%}"
        )


if __name__ == "__main__":
    main()
