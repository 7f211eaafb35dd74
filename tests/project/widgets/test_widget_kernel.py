"""Widgets in a real kernel, without a browser: their static outputs, and the kernel's interrupt."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from rlhf_course.course import DEFAULT_PART
from rlhf_course.paths import RECORDED_RUNS, SOLUTIONS

# A run that is stopped before its first phase has no row.
WAIT_FOR_FIRST_PHASE = "import time\nwhile run_dashboard.training.trainer.phase == 0:\n    time.sleep(0.1)"
SETTINGS = "total_phases=500, batch_size=8, num_minibatches=2, gen_len=4"
pytestmark = pytest.mark.slow


@pytest.fixture
def solved(tmp_path: Path) -> Path:
    """A learner's folder with the reference answers and the recorded runs."""
    shutil.copytree(
        SOLUTIONS / DEFAULT_PART.name, tmp_path / DEFAULT_PART.name, ignore=shutil.ignore_patterns("__pycache__")
    )
    for run in ("collapse", "periods"):
        shutil.copytree(RECORDED_RUNS / run, tmp_path / "runs" / run)
    return tmp_path


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a learner who has set no variable of the course."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RLHF_COURSE_")}


def test_an_exported_notebook_shows_the_static_output_of_every_widget(solved, environment):
    from nbconvert import HTMLExporter, MarkdownExporter

    cells = [
        "from rlhf_course import *",
        "kl_explorer()",
        "advantage_picture()",
        'dashboard(folder="runs/collapse")',
        'gallery("runs/periods")',
        "progress()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(solved)}}).execute(
        env=environment
    )
    notebook.metadata.pop("widgets", None)  # nbclient stores the state of live widgets here, JupyterLab does not
    page, _ = HTMLExporter().from_notebook_node(notebook)
    for text in (
        'alt="Three plots. Left: the target',
        "Their advantages add up to +0.80",
        'alt="Six plots of collapse',
        'alt="Two plots of periods',
        f"0 of {len(DEFAULT_PART.exercises)} passed",
    ):
        assert text in page
    markdown, _ = MarkdownExporter().from_notebook_node(notebook)
    assert "Six plots of collapse against the phase, first to last of 30 phases" in markdown


def run(client: BlockingKernelClient, code: str) -> str:
    """Run a cell and return its output."""
    return output_of(client, client.execute(code))


def output_of(client: BlockingKernelClient, message_id: str) -> str:
    """Wait for the end of a cell, and return its output and the text of its exception."""
    text = ""
    while True:
        message = client.get_iopub_msg(timeout=300)
        if message["parent_header"].get("msg_id") == message_id:
            content = message["content"]
            text += content.get("text", "") + content.get("evalue", "")
            if content.get("execution_state") == "idle":
                return text


@pytest.fixture
def kernel(solved: Path, environment: dict[str, str]) -> Iterator[tuple]:
    """A kernel in that folder, with its manager."""
    manager, client = start_new_kernel(cwd=str(solved), env=environment)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_interrupting_the_kernel_while_a_cell_waits_stops_the_run_and_keeps_it(kernel):
    manager, client = kernel
    run(
        client,
        f'from rlhf_course import *\nrun_dashboard = dashboard("periods", {SETTINGS}, out="runs/mine")',
    )
    run(client, WAIT_FOR_FIRST_PHASE)
    waiting = client.execute(
        'print("waiting", flush=True)\nrun = await run_dashboard.finished()\n'
        "print(len(run.rows), run_dashboard.training.status)"
    )
    while client.get_iopub_msg(timeout=300)["content"].get("text", "").strip() != "waiting":
        pass
    manager.interrupt_kernel()
    done, status = output_of(client, waiting).split()
    assert status == "stopped" and 0 < int(done) < 500
    assert run(client, "print(len(gallery.__doc__) > 0)").strip() == "True", "the kernel still runs"


def test_a_second_run_and_a_check_wait_for_the_first(kernel):
    _, client = kernel
    run(client, f'from rlhf_course import *\nrun_dashboard = dashboard("periods", {SETTINGS}, out="runs/mine")')
    refused = run(
        client, f'second = dashboard("collapse", {SETTINGS})\nprint(second.training, await second.finished())'
    )
    assert refused.strip() == "None None"
    checking = 'result = check("compute_advantages")\nprint(result.lines, bool(result))'
    assert "runs/mine is being trained" in run(client, checking)
    run(client, WAIT_FOR_FIRST_PHASE)
    assert (
        run(client, "run_dashboard.training.stop()\nprint(len((await run_dashboard.finished()).rows) > 0)").strip()
        == "True"
    )
    assert "True" in run(client, checking)
