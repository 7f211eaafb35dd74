"""What passes `check` gets points, and what the grader would refuse for want of something does not pass `check`."""

import builtins
import shutil
import sys

import pytest

from rlhf_course import check, use_code
from rlhf_course.course import BY_NAME
from rlhf_course.grading.submissions.parse_submission import SubmissionPath, parse_submission
from rlhf_course.paths import NOTEBOOKS, SOLUTIONS

NORMALIZE = (SOLUTIONS / "part1_rlhf/normalize_reward.py").read_text()
SCALED = "    return (reward - reward.mean()) / (reward.std() + {})\n"
ANSWER = "def normalize_reward(reward, eps=1e-5):\n"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A learner's workspace with every stub, which is the current folder."""
    home = tmp_path / "notebooks"
    shutil.copytree(NOTEBOOKS / "part1_rlhf", home / "part1_rlhf", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    monkeypatch.setenv("RLHF_COURSE_WORKSPACE", str(home))
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(home)
    use_code(home)
    yield home
    use_code(SOLUTIONS)


@pytest.fixture
def outcome(workspace, judge):
    """Returns what `check` printed, after requiring that `check` and the grader agree on the exercise."""

    def agreed(exercise="normalize_reward", passes=False, **files):
        for name, text in files.items():
            (workspace / name.replace("__", "/")).with_suffix(".py").write_text(text)
        result = check(exercise)
        graded = judge.grade(parse_submission(SubmissionPath("ada", workspace)))
        score = graded.exercises[exercise].score
        assert bool(result) == (score == BY_NAME[exercise].points) == passes, (result.lines, graded.exercises[exercise])
        assert passes or score == 0
        return "\n".join(result.lines)

    return agreed


def agreeing_on(outcome, body, head="", **others):
    """Require that both refuse or accept a normalisation with this body, and return what `check` printed."""
    return outcome(part1_rlhf__normalize_reward=f"{head}\n\n{ANSWER}{body}", **others)


def calling(import_line, call="compute(reward, eps)"):
    """Return an answer that calls another module's function."""
    return f"{import_line}\n\n\n{ANSWER}    return {call}\n"


@pytest.mark.parametrize(
    "import_line",
    [
        "from part1_rlhf import calc_kl_penalty as compute",
        "from .calc_kl_penalty import calc_kl_penalty as compute",
        "from part1_rlhf.calc_kl_penalty import calc_kl_penalty as compute",
    ],
)
def test_another_exercises_own_file_can_be_imported(outcome, import_line):
    other = NORMALIZE.replace("def normalize_reward", "def calc_kl_penalty")
    outcome(passes=True, part1_rlhf__normalize_reward=calling(import_line), part1_rlhf__calc_kl_penalty=other)


def test_another_exercises_broken_file_harms_who_imports_it_alone(outcome):
    broken = {"part1_rlhf__get_logprobs": "raise RuntimeError\n"}
    outcome(passes=True, part1_rlhf__normalize_reward=NORMALIZE, **broken)
    outcome(part1_rlhf__normalize_reward=calling("from part1_rlhf import get_logprobs as compute"), **broken)


def test_the_stub_of_another_exercise_is_not_the_references_answer(outcome):
    text = calling("from part1_rlhf import calc_kl_penalty", "reward + 0 * calc_kl_penalty(reward, reward, 1, 1)")
    outcome(part1_rlhf__normalize_reward=text)


def test_a_helper_module_in_the_parts_folder_is_handed_in_and_read_again_at_each_check(outcome):
    answer = calling("from part1_rlhf.helpers import compute")
    outcome(part1_rlhf__normalize_reward=answer, part1_rlhf__helpers="def compute(reward, eps):\n    return None\n")
    right = NORMALIZE.replace("def normalize_reward", "def compute")
    outcome(passes=True, part1_rlhf__normalize_reward=answer, part1_rlhf__helpers=right + "\n# longer\n")


@pytest.mark.parametrize("import_line", ["import helpers", "from helpers import compute"])
def test_a_module_beside_the_notebook_is_missing_even_if_the_notebook_has_imported_it(outcome, workspace, import_line):
    (workspace / "helpers.py").write_text(NORMALIZE.replace("def normalize_reward", "def compute"))
    in_the_notebook = __import__("helpers")
    text = calling(import_line, f"{'helpers.' * (import_line == 'import helpers')}compute(reward, eps)")
    shown = outcome(part1_rlhf__normalize_reward=text)
    assert "The grader does not have the module helpers" in shown and "from part1_rlhf import helpers" in shown
    assert sys.modules["helpers"] is in_the_notebook
    del sys.modules["helpers"]


def test_a_module_that_is_imported_in_a_call_is_missing_too(outcome, workspace):
    (workspace / "helpers.py").write_text("EPS = 1e-5\n")
    body = "    import importlib\n\n    helpers = importlib.import_module('helpers')\n" + SCALED.format("helpers.EPS")
    assert "The grader does not have the module helpers" in agreeing_on(outcome, body)


@pytest.mark.parametrize(
    "eps",
    [
        'json.load(open("table.json"))',
        'json.loads(Path("table.json").read_text())',
        'json.loads(Path(__file__).with_name("table.json").read_text())',
        'float(np.loadtxt("table.json"))',
    ],
)
@pytest.mark.parametrize("in_a_call", [True, False])
def test_a_data_file_is_missing(outcome, workspace, eps, in_a_call):
    for folder in (workspace, workspace / "part1_rlhf"):
        (folder / "table.json").write_text("1e-5")
    imports = "import json\nfrom pathlib import Path\n\nimport numpy as np\n"
    head = imports if in_a_call else f"{imports}\nEPS = {eps}\n"
    shown = agreeing_on(outcome, SCALED.format(eps if in_a_call else "EPS"), head)
    assert (
        "The grader does not have table.json" in shown
        and "Write what it holds into part1_rlhf/normalize_reward.py" in shown
    )


def test_a_file_that_the_answer_writes_itself_is_there(outcome):
    write = "    with open('eps.txt', 'w') as file:\n        file.write(str(eps))\n"
    body = write + SCALED.format("float(open('eps.txt').read())")
    outcome(passes=True, part1_rlhf__normalize_reward=f"{ANSWER}{body}")


def test_input_is_answered_by_nobody(outcome, monkeypatch):
    monkeypatch.setattr(builtins, "input", lambda *_: "1e-5")
    assert "Nobody answers input()" in agreeing_on(outcome, SCALED.format("float(input('eps? '))"))
    assert input() == "1e-5"


@pytest.mark.parametrize("name", ["display", "get_ipython"])
def test_functions_that_only_a_notebook_has_are_missing(outcome, monkeypatch, name):
    monkeypatch.setattr(builtins, name, print, raising=False)
    shown = agreeing_on(outcome, f"    {name}(reward)\n" + SCALED.format("eps"))
    assert f"{name} is defined outside the exercise's cell" in shown
    assert getattr(builtins, name) is print


def test_a_name_that_only_the_notebook_defines_is_missing(outcome):
    assert "EPS is defined outside the exercise's cell" in agreeing_on(outcome, SCALED.format("EPS"))


def test_an_answer_that_goes_on_without_what_is_missing_passes(outcome, workspace):
    (workspace / "table.json").write_text("0.5")
    body = "    try:\n        open('table.json')\n    except FileNotFoundError:\n        pass\n" + SCALED.format("eps")
    outcome(passes=True, part1_rlhf__normalize_reward=f"{ANSWER}{body}")


def test_a_check_leaves_the_modules_that_the_notebook_uses(workspace):
    (workspace / "part1_rlhf/normalize_reward.py").write_text(NORMALIZE)
    assert check("normalize_reward")
    before = sys.modules["part1_rlhf.normalize_reward"]
    assert check("normalize_reward")
    assert sys.modules["part1_rlhf.normalize_reward"] is before
