"""Each widget in a browser, operated with the keyboard."""

import json
import os
import re
import shutil
from pathlib import Path

import nbformat
from lab import move, press, wait_for_text

from rlhf_course.course import EXERCISES
from rlhf_course.paths import REPOSITORY
from rlhf_course.rl.run_folder import read_run
from rlhf_course.widgets.numbers.kl import Gaussian, TwoPeaks, divergences

DOCS = (REPOSITORY / "docs" / "widgets.md").read_text()
WIDGET_CELLS = (
    "from rlhf_course import *",
    "kl_explorer()",
    "advantage_picture()",
    "objective_explorer()",
    'dashboard(folder="runs/collapse")',
    'gallery("runs/periods")',
    "progress()",
)
TRAINING_CELLS = (
    'import os; from rlhf_course import *; del os.environ["RLHF_COURSE_SHORT"]',
    'settings = {"total_phases": 400, "batch_size": 16, "num_minibatches": 2, "gen_len": 8}',
    'run_dashboard = dashboard("periods", out="runs/pressed", **settings)',
    "run = await run_dashboard.finished()",
)


LABEL_CELLS = (
    "from rlhf_course import Labelling, label_pairs",
    'labelling = Labelling("labels.jsonl", "This film", [f" text {n}" for n in range(8)], repeated=2)',
    "label_pairs(labelling)",
)


def write_notebook(workspace: Path, name: str, cells: tuple[str, ...]) -> str:
    """Write a notebook to the learner's folder, and return its name."""
    kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=kernel),
        workspace / name,
    )
    return name


def save_screenshot(output, path: Path) -> None:
    """Save a screenshot; if RLHF_COURSE_PICTURES names a folder, copy it there if the docs show it."""
    output.scroll_into_view_if_needed()
    output.screenshot(path=path)
    if (folder := os.environ.get("RLHF_COURSE_PICTURES")) and f"pictures/{path.name})" in DOCS:
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)


def contrast(foreground: str, background: str) -> float:
    """Return the contrast of two CSS colours, as WCAG defines it."""

    def luminance(colour: str) -> float:
        channels = [int(channel) / 255 for channel in re.findall(r"\d+", colour)[:3]]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(foreground), luminance(background)))
    return (high + 0.05) / (low + 0.05)


def test_sliders_and_buttons_change_the_numbers_and_static_outputs_remain(notebook, workspace, server, artefacts):
    page = notebook(write_notebook(workspace, "look.ipynb", WIDGET_CELLS))
    page.run_all()
    assert page.errors() == []

    explorer = page.cell("kl_explorer()")
    wait_for_text(explorer, "KL(target || fit) = 4.123 nats")
    before = explorer.get_by_role("img").get_attribute("aria-label")
    moves = (("fit: mean", 10), ("fit: deviation", 4), ("peaks: ± at", -5), ("left peak's share", -2))
    settings = ((3.0, 0.5, 1.0, 1.0), (3.0, 0.5, 1.0, 1.2), (2.5, 0.5, 1.0, 1.2), (2.5, 0.4, 1.0, 1.2))
    for (label, steps), (distance, left, mean, std) in zip(moves, settings, strict=True):
        move(explorer, label, steps)
        both = divergences(TwoPeaks(distance, left), Gaussian(mean, std))
        wait_for_text(
            explorer, f"mean {mean:.2f} and standard deviation {std:.2f}: KL(target || fit) = {both.covering:.3f} nats"
        )
    assert explorer.get_by_role("img").get_attribute("aria-label") != before
    press(explorer, "minimise KL(target || fit)")
    wait_for_text(explorer, "Fit with mean 0.50 and standard deviation 2.5")
    move(explorer, "fit: deviation", -25)
    wait_for_text(explorer, re.compile(r"standard deviation 1\.2\d"))
    press(explorer, "minimise KL(fit || target)")
    wait_for_text(explorer, "Fit with mean 2.50 and standard deviation 0.60")
    save_screenshot(explorer, artefacts / "kl_explorer.png")

    advantages = page.cell("advantage_picture()")
    wait_for_text(advantages, "Their advantages add up to +0.80")
    move(advantages, "prefix_len", 1)
    wait_for_text(advantages, "Their advantages add up to +0.50")
    save_screenshot(advantages, artefacts / "advantage_picture.png")

    objective = page.cell("objective_explorer()")
    wait_for_text(objective, "The gradient is zero above 1.20")
    move(objective, "advantage", -20)
    wait_for_text(objective, "The gradient is zero below 0.80")
    move(objective, "clip_coef", 2)
    wait_for_text(objective, "The gradient is zero below 0.70")
    move(objective, "ratio", -65)
    wait_for_text(objective, "its gradient +0.0 (clipped")
    save_screenshot(objective, artefacts / "objective_explorer.png")

    dashboard = page.cell("dashboard(folder")
    wait_for_text(dashboard, "Read from runs/collapse: 30 of 30 phases done")
    newest = wait_for_text(dashboard, re.compile(r"^Phase \d+: the text with"))
    move(dashboard, "samples of phase", -29)
    assert wait_for_text(dashboard, "Phase 0: the text with") != newest
    move(dashboard, "samples of phase", 29)
    wait_for_text(dashboard, newest)
    dashboard.locator("select").select_option("periods")
    dashboard.locator('[role="img"][aria-label*="Beside it, periods"]').wait_for()
    save_screenshot(dashboard, artefacts / "dashboard.png")

    gallery = page.cell("gallery(")
    gallery.locator("select").select_option("short sentences")
    wait_for_text(gallery, re.compile(r"^Phase 59\b.*short sentences"))
    move(gallery, "in phase", -59)
    wait_for_text(gallery, re.compile(r"^Phase 0"))
    move(gallery, "in phase", 59)
    save_screenshot(gallery, artefacts / "gallery.png")

    progress = page.cell("progress()")
    # Other tests may have passed some exercises in this folder.
    wait_for_text(progress, re.compile(rf"(\d+ of|All) {len(EXERCISES)} passed"))
    press(progress, "Refresh")
    save_screenshot(progress, artefacts / "progress.png")

    page.command("apputils:change-theme", theme="JupyterLab Dark")
    page.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    for name, output in {"dashboard": dashboard, "gallery": gallery, "kl_explorer": explorer}.items():
        text_colour = output.get_by_role("img").evaluate(
            "element => getComputedStyle(element.querySelector('text')).fill"
        )
        background = page.page.locator(".jp-Notebook").evaluate("element => getComputedStyle(element).backgroundColor")
        assert contrast(text_colour, background) > 7, f"{name}: {text_colour} on {background}"
        save_screenshot(output, artefacts / f"{name}_dark.png")
    page.command("apputils:change-theme", theme="JupyterLab Light")

    # Live widgets hide the static outputs; without a kernel the static outputs are visible.
    static_outputs = page.page.locator(".rlhf-kept")
    assert static_outputs.count() == 6 and not any(output.is_visible() for output in static_outputs.all())
    page.save()
    server.end_kernels()
    reopened = notebook("look.ipynb")
    reopened.page.locator(".rlhf-kept").first.wait_for()
    assert all(output.is_visible() for output in reopened.page.locator(".rlhf-kept").all())
    messages = reopened.page.get_by_text(re.compile("Loading widget|Error displaying widget"))
    assert not any(message.is_visible() for message in messages.all())
    alternative_texts = [image.get_attribute("alt") for image in reopened.page.locator(".rlhf-kept img").all()]
    assert len(alternative_texts) == 4 and all(len(text) > 60 for text in alternative_texts)
    reopened.page.screenshot(path=artefacts / "without_kernel.png", full_page=True)


def phases_in(text: str) -> int:
    """Return the number of finished phases that a status names."""
    return int(re.search(r"(\d+) of 400 phases", text)[1])


def test_a_run_is_paused_resumed_seen_after_a_reload_and_stopped(notebook, workspace, artefacts):
    page = notebook(write_notebook(workspace, "train.ipynb", TRAINING_CELLS))
    page.start_all()
    dashboard = page.cell("dashboard(")
    status = re.compile(r"^(Training|Paused|Stopping|Stopped|Failed): ")
    wait_for_text(dashboard, re.compile(r"Training: [1-9]\d* of 400"))
    press(dashboard, "Pause")
    wait_for_text(dashboard, re.compile("^Paused: "))
    page.page.wait_for_timeout(1000)
    paused_at = phases_in(wait_for_text(dashboard, status))
    page.page.wait_for_timeout(1000)
    assert phases_in(wait_for_text(dashboard, status)) == paused_at
    save_screenshot(dashboard, artefacts / "paused.png")
    press(dashboard, "Resume")
    wait_for_text(dashboard, re.compile(rf"Training: (?!{paused_at} )\d+ of 400"))
    page.save()
    page.page.reload()
    page.page.wait_for_selector(".jp-Notebook .jp-Cell")
    dashboard = page.cell("dashboard(")
    after_reload = phases_in(wait_for_text(dashboard, status))
    wait_for_text(dashboard, re.compile(rf"Training: (?!{after_reload} )\d+ of 400"))
    press(dashboard, "Stop")
    done = phases_in(wait_for_text(dashboard, re.compile("^Stopped: ")))
    assert after_reload < done < 400
    run = read_run(workspace / "runs" / "pressed")
    assert len(run.rows) == done
    page.await_kernel()
    saved = json.loads(page.save().read_text())
    (static_output,) = [
        data
        for cell in saved["cells"]
        for output in cell["outputs"]
        if "rlhf-kept" in "".join((data := output.get("data", {})).get("text/html", ""))
    ]
    assert "data:image/png" in "".join(static_output["text/html"])
    save_screenshot(dashboard, artefacts / "stopped.png")


def test_pairs_are_labelled_with_the_keyboard_alone_and_a_new_kernel_goes_on(notebook, workspace, artefacts):
    page = notebook(write_notebook(workspace, "label.ipynb", LABEL_CELLS))
    page.run_all()
    output = page.cell("label_pairs(labelling)")
    wait_for_text(output, "0 of 6 pairs are labelled")
    output.get_by_role("textbox").focus()
    for keys, done in (("a", 1), ("d", 2), ("z", 1), ("s", 2), ("x", 2)):
        page.page.keyboard.type(keys)
        wait_for_text(output, f"{done} of 6 pairs are labelled")
    press(output, "right is better")
    wait_for_text(output, "3 of 6 pairs are labelled")
    assert "text 6" in output.inner_text() and "text 7" in output.inner_text()
    output.screenshot(path=artefacts / "label.png")
    lines = (workspace / "labels.jsonl").read_text().splitlines()
    assert [json.loads(line)["answer"] for line in lines] == ["left", "tie", "right"]

    again = notebook(write_notebook(workspace, "label_again.ipynb", LABEL_CELLS))
    again.run_all()
    wait_for_text(again.cell("label_pairs(labelling)"), "3 of 6 pairs are labelled")
