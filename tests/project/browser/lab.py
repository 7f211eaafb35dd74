"""Start a JupyterLab server for tests, and operate its notebooks in a browser."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

from rlhf_course.learner_package import WORKSPACE_VARIABLES

# Seconds in which every cell ends, even on a slow and busy machine.
CELL_TIMEOUT = 240.0
# Seconds in which the page reacts to a key or a button.
_REACTION_TIMEOUT = 90.0
_SETTINGS = {
    # Keep every cell in the page, even those that are not visible.
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {
        "windowingMode": "none",
        "autoStartDefaultKernel": True,
    },
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
}
_STATE = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  if (!panel || !panel.sessionContext || !panel.sessionContext.session) return null;
  const cells = Array.from(panel.content.widgets).filter(cell => cell.model.type === 'code');
  return {
    kernel: panel.sessionContext.session.kernel?.status,
    waiting: cells.filter(cell => cell.promptNode?.textContent?.includes('*')).length,
    run: cells.filter(cell => cell.model.executionCount !== null).length,
    cells: cells.filter(cell => cell.model.sharedModel.source.trim()).length,
  };
}"""


class Server:
    """A JupyterLab server on the loopback interface, with its own settings and data.

    Args:
        root: The folder with the notebooks.
        home: The folder for Jupyter's own files.
        config: A folder of settings, as `make learn` has one for learners.
    """

    def __init__(self, root: Path, home: Path, config: Path | None = None) -> None:
        self.root = root
        for name, content in _SETTINGS.items():
            path = home / "settings" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.token = os.urandom(16).hex()
        self.log = home / "lab.log"
        names = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
        }
        environment = {
            **os.environ,
            **{variable: str(home / folder) for variable, folder in names.items()},
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "RLHF_COURSE_SHORT": "1",
            "HF_HUB_OFFLINE": "1",
        }
        for variable in (*WORKSPACE_VARIABLES, "JUPYTER_CONFIG_PATH"):
            environment.pop(variable, None)
        if config is not None:
            environment["JUPYTER_CONFIG_PATH"] = str(config)
        with open(self.log, "w") as log:
            self._process = subprocess.Popen(self._command(), cwd=root, env=environment, stdout=log, stderr=log)

    def _command(self) -> list[str]:
        flags = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": self.root,
            "ServerApp.allow_root": True,
            "ServerApp.open_browser": False,
            "IdentityProvider.token": self.token,
            # The tests call JupyterLab's commands by name, which change less often than its menus.
            "LabApp.expose_app_in_browser": True,
        }
        return [sys.executable, "-m", "jupyter", "lab", *(f"--{name}={value}" for name, value in flags.items())]

    def wait(self) -> None:
        """Wait until the server answers requests."""
        deadline = time.monotonic() + CELL_TIMEOUT
        while True:
            try:
                self.api("GET", "status")
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-2000:]}") from None
                time.sleep(0.1)

    def api(self, method: str, path: str) -> Any:
        """Call the REST API of the server, and return the JSON of the response."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def end_kernels(self) -> None:
        """Shut down every kernel."""
        for session in self.api("GET", "sessions"):
            self.api("DELETE", f"sessions/{session['id']}")

    def stop(self) -> None:
        """Stop the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Notebook:
    """A notebook in a page of the browser.

    Args:
        page: A blank page.
        server: The server of the notebook.
        name: The file name of the notebook.
    """

    def __init__(self, page: Page, server: Server, name: str) -> None:
        self.page, self.server, self.name = page, server, name
        page.set_default_timeout(CELL_TIMEOUT * 1000)
        page.goto(f"http://127.0.0.1:{server.port}/lab/tree/{name}?reset&token={server.token}")
        self.await_kernel()

    def await_kernel(self) -> None:
        """Wait until the notebook is displayed and its kernel is idle."""
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self._wait_until(lambda state: state is not None and state["kernel"] == "idle")

    def command(self, name: str, **arguments: Any) -> None:
        """Start one of JupyterLab's commands, without waiting for its end."""
        self.page.evaluate(
            "([name, options]) => { window.jupyterapp.commands.execute(name, options) }", [name, arguments]
        )

    def start_all(self) -> None:
        """Start all cells, without waiting for their end."""
        self.command("notebook:run-all-cells")

    def run_all(self) -> None:
        """Run all cells, and wait for the end of the last."""
        self.start_all()
        self._wait_until(
            lambda state: (
                state is not None
                and state["kernel"] == "idle"
                and not state["waiting"]
                and (state["run"] >= state["cells"] or self.errors())
            )
        )

    def save(self) -> Path:
        """Save the notebook, and return the path of its file."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")
        return self.server.root / self.name

    def reload(self) -> None:
        """Reload the page; the kernel continues."""
        self.page.reload()
        self.await_kernel()

    def errors(self) -> list[str]:
        """Return the error outputs of all cells."""
        output = ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.{}']"
        tracebacks = self.page.locator(output.format("stderr") + ":has-text('Traceback')")
        return tracebacks.all_inner_texts() + self.page.locator(output.format("error")).all_inner_texts()

    def cell(self, text: str) -> Locator:
        """Return the output area of the cell whose code contains a text."""
        return (
            self.page.locator(".jp-CodeCell", has=self.page.locator(".jp-InputArea-editor", has_text=text))
            .locator(".jp-OutputArea")
            .first
        )

    def _wait_until(self, condition: Callable[[Any], bool]) -> None:
        deadline = time.monotonic() + CELL_TIMEOUT
        while not condition(state := self.page.evaluate(_STATE)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} is still {state}")
            self.page.wait_for_timeout(100)


def move(output: Locator, label: str, steps: int) -> None:
    """Move a slider by arrow keys: to the right, or to the left if `steps` is negative."""
    handle = (
        output.locator(".widget-slider", has=output.page.get_by_text(label, exact=True)).locator(".noUi-handle").first
    )
    handle.focus()
    for _ in range(abs(steps)):
        handle.press("ArrowRight" if steps > 0 else "ArrowLeft")


def press(output: Locator, name: str) -> None:
    """Press a button with the keyboard."""
    output.get_by_role("button", name=name).press("Enter")


def wait_for_text(output: Locator, text: str | re.Pattern[str]) -> str:
    """Wait until the output shows a text, and return the full text of its element."""
    element = output.get_by_text(text).first
    element.wait_for(timeout=_REACTION_TIMEOUT * 1000)
    return element.inner_text()


def browser_path() -> str | None:
    """Return the path of Chromium or Chrome: `RLHF_COURSE_BROWSER`, else the first usual name that is found."""
    names = (
        os.environ.get("RLHF_COURSE_BROWSER", ""),
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        "chrome",
    )
    return next((path for name in names if name and (path := shutil.which(name))), None)
