"""Measure the share of a run's time that the training thread spends on updating the dashboard.

    .venv/bin/python benchmarks/dashboard.py [--phases 12]

The run is trained in a Jupyter kernel, as in a notebook, and both times are taken in that one run. The result goes to
`benchmarks/results/dashboard.json`. It does not include the time that a browser takes to render.
"""

import argparse
import json
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

RESULT = Path(__file__).resolve().parent / "results" / "dashboard.json"
LIMIT = 0.03
_CELL = """
import json, time
from pathlib import Path
import rlhf_course
rlhf_course.use_code()
from part1_rlhf import RLHFTrainer
from rlhf_course import RLHFArgs
from rlhf_course.widgets.board import board_of_trainer
from rlhf_course.widgets.training import Training

trainer = RLHFTrainer(RLHFArgs.for_profile("laptop", "collapse", total_phases=PHASES))
board, shown, drawn = board_of_trainer(trainer, Path("run")), [], []
board._turns = [(what, lambda what=what, do=do: (do(), drawn.append(what))) for what, do in board._turns]

def watch(row, samples):
    began = time.perf_counter()
    board.add_phase(row, samples)
    shown.append(time.perf_counter() - began)

board.training = Training(trainer, board.path, watch, board.end)
board.display()
board.budget.begin()
board.training.start()
await board.training.finished()
assert board.training.status == "finished", board.training.error
trained = sum(row["seconds"] for row in board.rows)
print("RESULT", json.dumps({
    "phases": len(board.rows),
    "seconds_a_phase": round(trained / len(board.rows), 2),
    "share_of_a_phase": round(sum(shown) / trained, 4),
    "curves_drawn": drawn.count("curves"),
    "samples_scored": drawn.count("samples"),
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
    result = measure(parser.parse_args().phases)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    if result["share_of_a_phase"] > LIMIT:
        raise SystemExit(
            f"the dashboard takes {result['share_of_a_phase']:.1%} of a phase, and should take at most {LIMIT:.0%}"
        )


if __name__ == "__main__":
    main()
