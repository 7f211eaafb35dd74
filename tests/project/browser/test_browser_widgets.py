"""Each widget used as a learner uses it: by keyboard, in a real browser."""

import json
import os
import re
import shutil
from pathlib import Path

import nbformat
from lab import move, press, see

from rlhf_course.paths import REPOSITORY
from rlhf_course.rl.run_folder import read_run
from rlhf_course.widgets.numbers.kl import Gaussian, TwoPeaks, divergences

DOCS = (REPOSITORY / "docs" / "widgets.md").read_text()
LOOK = (
    "from rlhf_course import *",
    "kl_explorer()",
    "advantage_picture()",
    "objective_explorer()",
    'dashboard(folder="runs/collapse")',
    'gallery("runs/periods")',
    "progress()",
)
TRAIN = (
    'import os; from rlhf_course import *; del os.environ["RLHF_COURSE_SHORT"]',
    'board = dashboard("periods", total_phases=400, batch_size=16, num_minibatches=2, gen_len=8, out="runs/pressed")',
    "run = await board.finished()",
)


def write(desk: Path, name: str, cells: tuple[str, ...]) -> str:
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=kernel),
        desk / name,
    )
    return name


def picture(output, path: Path) -> None:
    """Keep a screenshot as an artefact; where RLHF_COURSE_PICTURES names a folder, those that the docs show go there too."""
    output.scroll_into_view_if_needed()
    output.screenshot(path=path)
    if (folder := os.environ.get("RLHF_COURSE_PICTURES")) and f"pictures/{path.name})" in DOCS:
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)


def contrast(one: str, other: str) -> float:
    """The contrast of two CSS colours, as WCAG defines it."""

    def light(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_sliders_and_buttons_change_the_numbers_and_pictures_are_kept(notebook, desk, server, artefacts):
    page = notebook(write(desk, "look.ipynb", LOOK))
    page.run_all()
    assert page.errors() == []

    explorer = page.cell("kl_explorer()")
    see(explorer, "KL(target || fit) = 4.123 nats")
    before = explorer.get_by_role("img").get_attribute("aria-label")
    moves = (("fit: mean", 10), ("fit: deviation", 4), ("peaks: ± at", -5), ("left peak's share", -2))
    settings = ((3.0, 0.5, 1.0, 1.0), (3.0, 0.5, 1.0, 1.2), (2.5, 0.5, 1.0, 1.2), (2.5, 0.4, 1.0, 1.2))
    for (label, steps), (distance, left, mean, std) in zip(moves, settings, strict=True):
        move(explorer, label, steps)
        both = divergences(TwoPeaks(distance, left), Gaussian(mean, std))
        see(explorer, f"mean {mean:.2f} and standard deviation {std:.2f}: KL(target || fit) = {both.covering:.3f} nats")
    assert explorer.get_by_role("img").get_attribute("aria-label") != before
    press(explorer, "minimise KL(target || fit)")
    see(explorer, "Fit with mean 0.50 and standard deviation 2.5")
    move(explorer, "fit: deviation", -25)
    see(explorer, re.compile(r"standard deviation 1\.2\d"))
    press(explorer, "minimise KL(fit || target)")
    see(explorer, "Fit with mean 2.50 and standard deviation 0.60")
    picture(explorer, artefacts / "kl_explorer.png")

    advantages = page.cell("advantage_picture()")
    see(advantages, "Their advantages add up to +0.80")
    move(advantages, "prefix_len", 1)
    see(advantages, "Their advantages add up to +0.50")
    picture(advantages, artefacts / "advantage_picture.png")

    objective = page.cell("objective_explorer()")
    see(objective, "The gradient is zero above 1.20")
    move(objective, "advantage", -20)
    see(objective, "The gradient is zero below 0.80")
    move(objective, "clip_coef", 2)
    see(objective, "The gradient is zero below 0.70")
    move(objective, "ratio", -65)
    see(objective, "its gradient +0.0 (clipped")
    picture(objective, artefacts / "objective_explorer.png")

    board = page.cell("dashboard(folder")
    see(board, "Read from runs/collapse: 30 of 30 phases done")
    newest = see(board, re.compile(r"^Phase \d+: the text with"))
    move(board, "samples of phase", -29)
    assert see(board, "Phase 0: the text with") != newest
    move(board, "samples of phase", 29)
    see(board, newest)
    board.locator("select").select_option("periods")
    board.locator('[role="img"][aria-label*="Beside it, periods"]').wait_for()
    picture(board, artefacts / "dashboard.png")

    shown = page.cell("gallery(")
    shown.locator("select").select_option("short sentences")
    see(shown, re.compile(r"^Phase 59\b.*short sentences"))
    move(shown, "in phase", -59)
    see(shown, re.compile(r"^Phase 0"))
    move(shown, "in phase", 59)
    picture(shown, artefacts / "gallery.png")

    progress = page.cell("progress()")
    see(progress, re.compile(r"(\d+ of|All) 10 passed"))  # other tests here may have passed some on this desk
    press(progress, "Refresh")
    picture(progress, artefacts / "progress.png")

    page.command("apputils:change-theme", theme="JupyterLab Dark")
    page.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    for name, output in {"dashboard": board, "gallery": shown, "kl_explorer": explorer}.items():
        ink = output.get_by_role("img").evaluate("element => getComputedStyle(element.querySelector('text')).fill")
        ground = page.page.locator(".jp-Notebook").evaluate("element => getComputedStyle(element).backgroundColor")
        assert contrast(ink, ground) > 7, f"{name}: {ink} on {ground}"
        picture(output, artefacts / f"{name}_dark.png")
    page.command("apputils:change-theme", theme="JupyterLab Light")

    # Live, the pictures that are kept give way; without the kernel they are what there is to see.
    kept = page.page.locator(".rlhf-kept")
    assert kept.count() == 6 and not any(output.is_visible() for output in kept.all())
    page.save()
    server.end_kernels()
    later = notebook("look.ipynb")
    later.page.locator(".rlhf-kept").first.wait_for()
    assert all(output.is_visible() for output in later.page.locator(".rlhf-kept").all())
    assert not any(
        output.is_visible()
        for output in later.page.get_by_text(re.compile("Loading widget|Error displaying widget")).all()
    )
    alternative_texts = [image.get_attribute("alt") for image in later.page.locator(".rlhf-kept img").all()]
    assert len(alternative_texts) == 4 and all(len(text) > 60 for text in alternative_texts)
    later.page.screenshot(path=artefacts / "without_kernel.png", full_page=True)


def phases_in(text: str) -> int:
    return int(re.search(r"(\d+) of 400 phases", text)[1])


def test_a_run_is_paused_resumed_seen_after_a_reload_and_stopped(notebook, desk, artefacts):
    page = notebook(write(desk, "train.ipynb", TRAIN))
    page.start_all()
    board = page.cell("dashboard(")
    status = re.compile(r"^(Training|Paused|Stopping|Stopped|Failed): ")
    see(board, re.compile(r"Training: [1-9]\d* of 400"))
    press(board, "Pause")
    see(board, re.compile("^Paused: "))
    page.page.wait_for_timeout(1000)
    held = phases_in(see(board, status))
    page.page.wait_for_timeout(1000)
    assert phases_in(see(board, status)) == held
    picture(board, artefacts / "paused.png")
    press(board, "Resume")
    see(board, re.compile(rf"Training: (?!{held} )\d+ of 400"))
    page.save()
    page.page.reload()
    page.page.wait_for_selector(".jp-Notebook .jp-Cell")
    board = page.cell("dashboard(")
    here = phases_in(see(board, status))
    see(board, re.compile(rf"Training: (?!{here} )\d+ of 400"))
    press(board, "Stop")
    done = phases_in(see(board, re.compile("^Stopped: ")))
    assert here < done < 400
    run = read_run(desk / "runs" / "pressed")
    assert len(run.rows) == done
    page.await_kernel()
    saved = json.loads(page.save().read_text())
    (kept,) = [
        data
        for cell in saved["cells"]
        for output in cell["outputs"]
        if "rlhf-kept" in "".join((data := output.get("data", {})).get("text/html", ""))
    ]
    assert "data:image/png" in "".join(kept["text/html"])
    picture(board, artefacts / "stopped.png")
