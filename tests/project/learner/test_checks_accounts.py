"""What `check` says, and that nothing else disturbs it."""

import random
import sys
import warnings

import pytest
import torch
from learners import answer_text, stub_text

from rlhf_course import check, reset, use_code
from rlhf_course.building.check_data import right_observations
from rlhf_course.checks.core import Case, Check, expected_results, known_mistakes
from rlhf_course.course import BY_NAME, DEFAULT_PART, EXERCISES
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import imported_answer
from rlhf_course.notebook.exercise_progress import checks_of
from rlhf_course.notebook.progress_file import read_state
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import CODE_STUB


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_an_untouched_stub_is_not_attempted(workspace, exercise):
    assert check(exercise.name).status == "not attempted"


def write(workspace, name, text):
    (workspace / DEFAULT_PART.name / f"{name}.py").write_text(text)


def test_the_file_in_the_workspace_is_checked_by_name(workspace, capsys):
    write(workspace, "calc_kl_penalty", answer_text("calc_kl_penalty"))
    result = check("calc_kl_penalty")
    assert result.status == "passed"
    assert result
    shown = capsys.readouterr().out
    assert "calc_kl_penalty: passed" in shown
    assert "Next: HookedTransformer" not in shown
    assert "Next: calc_entropy_bonus" in shown
    assert read_state(workspace / DEFAULT_PART.name)["exercises"]["calc_kl_penalty"]["status"] == "passed"


def test_an_error_is_shown_with_the_line_of_the_learners_file(workspace):
    text = stub_text("compute_advantages")
    write(workspace, "compute_advantages", text.replace(CODE_STUB, "return values + missing"))
    result = check("compute_advantages")
    assert result.status == "error"
    line = text.splitlines().index(f"    {CODE_STUB}") + 1
    assert any(
        f"line {line} of part1_rlhf/compute_advantages.py: return values + missing" in shown for shown in result.lines
    )
    assert any("NameError" in shown for shown in result.lines)
    assert len(result.lines) < 12


def test_a_file_that_does_not_even_load_is_an_error_of_its_own_exercise_alone(workspace):
    write(workspace, "get_logprobs", "def get_logprobs(:\n    pass\n")
    write(workspace, "calc_kl_penalty", answer_text("calc_kl_penalty"))
    result = check("get_logprobs")
    assert result.status == "error"
    assert any("line 1 of part1_rlhf/get_logprobs.py" in line for line in result.lines)
    assert check("calc_kl_penalty").status == "passed"


def test_a_file_that_exits_is_an_error_and_nothing_more(workspace):
    write(workspace, "get_logprobs", "raise SystemExit(3)\n")
    assert check("get_logprobs").status == "error"


def test_an_unknown_mistake_is_told_by_input_result_and_what_was_wanted(capsys):
    def calc_entropy_bonus(logits, ent_coef, gen_len):
        return 7 * (logits * 0).sum() + 12.5

    result = check(calc_entropy_bonus)
    assert (result.status, result.mistake) == ("wrong", None)
    shown = capsys.readouterr().out
    assert "input:  the notebook's example, with ent_coef = 1: logits whose softmax is 1/2" in shown
    assert "got:    result 12.5" in shown
    assert "wanted: result 1.3" in shown
    assert "hint('calc_entropy_bonus')" in shown


def test_of_large_results_the_first_wrong_entry_is_shown():
    def get_logprobs(logits, tokens, prefix_len=None):
        first = prefix_len or 1
        right = logits[:, first - 1 : -1].log_softmax(-1).gather(-1, tokens[:, first:, None])[..., 0]
        return right + 5 * (torch.arange(right.shape[1]) == 2)

    result = check(get_logprobs)
    assert any(line.startswith("got:    result [0, 2] = ") for line in result.lines)


ENTROPY = "import torch\n\n\ndef calc_entropy_bonus(logits, ent_coef, gen_len):\n    "


@pytest.mark.parametrize(
    ("body", "likely"),
    [
        ("logits.softmax(-1)", "returns nothing"),
        ("return numpy.zeros(1)", "import and helper"),
        ("import numpy as np; return np.zeros(3)", "NumPy"),
        ("yield 1", "`yield`"),
        ("return torch.tensor(logits.numpy().sum())", "NumPy cannot pass a gradient on"),
        ("return calc_entropy_bonus(logits, ent_coef, gen_len)", "calls itself"),
        ("import sys; sys.exit()", "end the whole program"),
        ("if logits:\n        return None", "`is not None`"),
    ],
)
def test_a_mistake_that_any_exercise_allows_is_named(workspace, body, likely):
    write(workspace, "calc_entropy_bonus", ENTROPY + body + "\n")
    assert any(line.startswith("likely: ") and likely in line for line in check("calc_entropy_bonus").lines)


def test_an_endless_recursion_is_an_error_at_its_own_line(workspace):
    write(workspace, "calc_entropy_bonus", ENTROPY + "return calc_entropy_bonus(logits, ent_coef, gen_len)\n")
    result = check("calc_entropy_bonus")
    assert result.status == "error" and "line 5 of part1_rlhf/calc_entropy_bonus.py" in "\n".join(result.lines)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_files_of_editors_that_write_other_bytes_are_read_and_kept(workspace, encoding):
    path = workspace / DEFAULT_PART.name / "calc_entropy_bonus.py"
    text = answer_text("calc_entropy_bonus") + "# Größe\n"
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert check("calc_entropy_bonus").status == "passed"
    reset("calc_entropy_bonus")
    (kept,) = (workspace / DEFAULT_PART.name / ".history").glob("*.py")
    assert kept.read_text(encoding="utf-8") == text


def test_prints_and_warnings_of_the_learner_do_not_matter(workspace, capsys):
    text = answer_text("normalize_reward").replace(
        "    return (reward", "    import warnings\n    warnings.warn('loud')\n    print('loud')\n    return (reward"
    )
    write(workspace, "normalize_reward", text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check("normalize_reward").status == "passed"
    assert "loud" not in capsys.readouterr().out


def test_a_check_leaves_the_random_states_and_the_gradient_switch_alone():
    def normalize_reward(reward, eps=1e-5):
        torch.rand(3)
        random.random()
        return reward

    torch.manual_seed(4)
    random.seed(4)
    with torch.no_grad():
        check(normalize_reward)
        assert not torch.is_grad_enabled()
    drawn = torch.rand(1), random.random()
    torch.manual_seed(4)
    random.seed(4)
    assert drawn == (torch.rand(1), random.random())


def test_something_that_is_no_exercise_is_said_so(capsys):
    assert check("compute_advantage").status == "error"
    assert "did you mean compute_advantages?" in capsys.readouterr().out


def test_the_trainer_first_asks_that_what_it_uses_passes(solved_workspace, capsys):
    wrong = answer_text("calc_kl_penalty").replace("kl.mean()", "kl.sum()")
    write(solved_workspace, "calc_kl_penalty", wrong)
    write(solved_workspace, "get_optimizer", stub_text("get_optimizer"))
    result = check("RLHFTrainer")
    assert result.status == "not attempted"
    assert result.lines[1:] == ["  calc_kl_penalty: wrong", "  get_optimizer: not attempted"]


def test_a_trainer_that_spoils_the_models_it_is_tried_on_spoils_no_later_check(solved_workspace):
    head = '    def rollout_phase(self) -> ReplayMemory:\n        """Sample'
    text = answer_text("RLHFTrainer")
    assert head in text
    spoils = "self.model.base_model.half(); self.ref_model.base_model.forward = None"
    write(solved_workspace, "trainer", text.replace(head, head.replace('"""', f'{spoils}; """')))
    assert not check("RLHFTrainer")
    write(solved_workspace, "trainer", text)
    assert check("RLHFTrainer").status == "passed"


def test_a_file_changed_by_hand_is_checked_as_it_is_now(workspace, capsys):
    write(workspace, "calc_kl_penalty", answer_text("calc_kl_penalty"))
    from rlhf_course.course import BY_NAME
    from rlhf_course.notebook.workspace import load_answer

    bound = load_answer(BY_NAME["calc_kl_penalty"])
    write(workspace, "calc_kl_penalty", answer_text("calc_kl_penalty").replace("kl.mean()", "kl.sum()"))
    result = check(bound)
    assert result.mistake == "sums_over_everything"
    assert "has changed since the cell ran" in capsys.readouterr().out


def test_a_half_written_class_says_which_line_is_still_to_be_written(workspace):
    whole, stub = answer_text("HookedTransformerWithValueHead"), stub_text("HookedTransformerWithValueHead")
    half = stub.replace(CODE_STUB, whole.split("### BEGIN SOLUTION")[1].split("###")[0].strip(), 1)
    write(workspace, "value_head", half + "\n")
    result = check("HookedTransformerWithValueHead")
    assert result.status == "not attempted"
    assert "value_head.py" in result.lines[0]


@pytest.mark.parametrize("execution", ["autograde", "validate"])
def test_under_nbgrader_a_check_that_does_not_pass_raises_for_there_silence_means_full_marks(
    workspace, monkeypatch, execution
):
    monkeypatch.setenv("NBGRADER_EXECUTION", execution)
    with pytest.raises(AssertionError, match="calc_kl_penalty: not attempted"):
        check("calc_kl_penalty")
    write(workspace, "calc_kl_penalty", answer_text("calc_kl_penalty"))
    assert check("calc_kl_penalty").status == "passed"


def test_a_mistake_that_nobody_has_written_down_is_described_by_its_relation_to_the_right_result(workspace):
    text = answer_text("calc_kl_penalty").replace("def calc_kl_penalty", "def _right")
    write(
        workspace, "calc_kl_penalty", f"{text}\n\ndef calc_kl_penalty(*arguments):\n    return 2 * _right(*arguments)\n"
    )
    result = check("calc_kl_penalty")
    assert "the notebook's example" in result.lines[1] and "result 1.386" in result.lines[2]
    assert "that is: the result is twice what it should be" in result.lines and len(result.lines) < 12


def test_a_relation_agrees_with_the_number_of_things_that_it_is_said_of(workspace):
    text = answer_text("dpo_loss").replace("def dpo_loss", "def _right")
    wrong = "losses, chosen, rejected = _right(*arguments)\n    return losses, -chosen, rejected"
    lines = lines_of(workspace, "dpo_loss", f"{text}\n\ndef dpo_loss(*arguments):\n    {wrong}\n")
    assert "that is: the chosen_rewards have the wrong sign" in lines


TWO_MISTAKES = """def reward_accuracy(chosen_rewards, rejected_rewards):
    return (chosen_rewards >= rejected_rewards).to(chosen_rewards.dtype).mean()
"""


def test_of_two_known_mistakes_the_one_that_the_shown_input_shows_is_named(workspace):
    (workspace / "part2_preferences" / "reward_accuracy.py").write_text(TWO_MISTAKES)  # ties count, and no error
    result = check("reward_accuracy")
    assert "the notebook's example" in result.lines[1]
    assert "likely: " + known_mistakes("reward_accuracy")[str(result.mistake)]["description"] in result.lines
    assert "equal rewards" in "\n".join(result.lines) and len(result.lines) < 12


def test_no_mistake_is_named_where_another_input_shows_something_unknown(workspace):
    text = TWO_MISTAKES.replace("    return", "    wrong = 7 * (len(chosen_rewards) != 5)\n    return -wrong +")
    (workspace / "part2_preferences" / "reward_accuracy.py").write_text(text)
    assert check("reward_accuracy").mistake is None


def test_a_mistake_is_not_named_where_the_answer_is_right_and_the_mistake_is_wrong(workspace):
    """Of one generated token, a softmax over positions gives the same number; the answer is right on all others."""
    text = answer_text("calc_kl_penalty").replace("def calc_kl_penalty", "def _right")
    body = "return _right(*arguments) * (arguments[0].shape[1] > 1)"
    write(workspace, "calc_kl_penalty", f"{text}\n\ndef calc_kl_penalty(*arguments):\n    {body}\n")
    result = check("calc_kl_penalty")
    assert result.status == "wrong" and result.mistake is None


LATE = """def get_logprobs(logits, tokens, prefix_len=None):
    return logits.log_softmax(-1).gather(-1, tokens[..., None])[:, prefix_len or 1 :, 0]
"""
UNWEIGHTED = """def calc_kl_penalty(logits, ref_logits, kl_coef, gen_len):
    return kl_coef * (logits.log_softmax(-1) - ref_logits.log_softmax(-1)).sum(-1).mean()
"""


@pytest.mark.parametrize(("name", "text"), [("get_logprobs", LATE), ("calc_kl_penalty", UNWEIGHTED)])
def test_a_relation_that_not_every_wrong_input_shows_is_not_said(workspace, name, text):
    write(workspace, name, text)
    result = check(name)
    assert result.status == "wrong"
    assert not [line for line in result.lines if line.startswith("that is:")], result.lines


def half_trainer(*unwritten, change=("", "")):
    """The reference's trainer with some of its methods as in the stub."""
    head, *parts = answer_text("RLHFTrainer").replace(*change).split("### BEGIN SOLUTION")
    methods = ["compute_rlhf_objective", "rollout_phase", "learning_phase"]
    for method, part in zip(methods, parts, strict=True):
        body, rest = part.split("### END SOLUTION")
        head += (CODE_STUB if method in unwritten else body) + rest
    return head


def test_of_a_trainer_with_unwritten_methods_the_others_are_judged(solved_workspace):
    write(solved_workspace, "trainer", half_trainer("compute_rlhf_objective"))
    result = check("RLHFTrainer")
    assert result.status == "not attempted"
    assert result.lines[0] == "RLHFTrainer: not finished. Right so far: rollout_phase and learning_phase."
    assert result.lines[1].startswith("Still to be written: compute_rlhf_objective.")
    change = ("self.ref_model(sample_ids)", "logits")
    write(solved_workspace, "trainer", half_trainer("compute_rlhf_objective", "learning_phase", change=change))
    result = check("RLHFTrainer")
    assert (result.status, result.mistake) == ("wrong", "ReferenceIsPolicy")
    assert "Still to be written: compute_rlhf_objective and learning_phase." in result.lines


def test_of_a_class_whose_methods_are_checked_alone_one_input_says_nothing_of_the_others(solved_workspace):
    change = ("return surrogate - value_loss", "return 1.1 * surrogate - value_loss")
    write(solved_workspace, "trainer", half_trainer(change=change))
    result = check("RLHFTrainer")
    assert result.status == "wrong" and "compute_rlhf_objective" in result.lines[1]
    assert not [line for line in result.lines if line.startswith(("On every other", "again:"))]


LOGITS_ALONE = ("return logits, self.value_head_output", "return logits")
BRACKETS = ("self.fwd_hooks", "self.fwd_hooks()")
NO_TEST = ("        if self.value_head is None:\n            return self.base_model(input_ids), None\n", "")


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ([BRACKETS], "raised: TypeError: 'list' object is not callable"),
        ([BRACKETS, NO_TEST], "raised: TypeError: 'list' object is not callable"),
        ([LOGITS_ALONE], "wanted: type of what forward_with_value_head returns: (logits, values)"),
    ],
)
def test_a_value_head_that_fails_is_not_said_to_fail_without_a_head(workspace, changes, shown):
    text = answer_text("HookedTransformerWithValueHead")
    for change in changes:
        assert change[0] in text
        text = text.replace(*change)
    write(workspace, "value_head", text)
    result = check("HookedTransformerWithValueHead")
    assert not result and result.mistake is None and shown in result.lines
    assert not [line for line in result.lines if line.startswith("again:")]


def test_another_exception_of_the_same_type_is_not_taken_for_a_known_mistake(workspace):
    text = "def get_optimizer(model, base_lr, head_lr):\n    first, second = [1, 2, 3]\n"
    write(workspace, "get_optimizer", text)
    result = check("get_optimizer")
    assert result.status == "error" and result.mistake is None


def test_building_refuses_a_right_answer_that_raises_where_the_reference_does_not():
    check_of_one = Check("one", {"case": Case("nothing", {})}, lambda answer, inputs: {"result": answer()})
    with pytest.raises(CourseError, match="right answer other of one raises TypeError on the visible case 'case'"):
        right_observations(check_of_one, {"the reference": lambda: 1.0, "other": lambda: len(1)})


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_no_case_accepts_an_exception_that_the_reference_does_not_raise(exercise):
    for observations in expected_results(exercise.name).values():
        assert "raised" in observations[0] or not any("raised" in observation for observation in observations)


def test_an_answer_that_is_wrong_on_one_input_alone_is_told_so(workspace):
    text = answer_text("compute_advantages").replace("def compute_advantages", "def _right")
    body = "return _right(*arguments) * (2 if len(arguments[0]) == 2 else 1)"
    write(workspace, "compute_advantages", f"{text}\n\ndef compute_advantages(*arguments):\n    {body}\n")
    assert "On every other input of this check your answer is right." in check("compute_advantages").lines


@pytest.mark.parametrize(
    ("helper", "shown"),
    [
        ("x = 1\ndef scale(r:\n", "line 2 of part1_rlhf/helper.py: def scale(r:"),
        ("def scale(reward):\n    return factor * reward\n", "line 2 of part1_rlhf/helper.py: return factor * reward"),
        ("def scale(reward):\n    return factor * reward\n", "likely: part1_rlhf/helper.py does not define factor."),
        ("def scale(reward):\n    raise NotImplementedError\n", "likely: part1_rlhf/helper.py is still to be written"),
    ],
)
def test_an_error_in_a_helper_is_shown_where_it_is(workspace, helper, shown):
    write(workspace, "helper", helper)
    write(
        workspace,
        "normalize_reward",
        "from part1_rlhf.helper import scale\n\n\ndef normalize_reward(reward, eps=1e-5):\n    return scale(reward)\n",
    )
    result = check("normalize_reward")
    assert result.status == "error" and any(shown in line for line in result.lines), result.lines


def test_a_helper_that_is_imported_by_its_bare_name_gets_the_right_import(workspace):
    write(workspace, "helper", "def scale(reward):\n    return reward\n")
    text = "from helper import scale\n\n\ndef normalize_reward(reward, eps=1e-5):\n    return scale(reward)\n"
    write(workspace, "normalize_reward", text)
    advice = "likely: part1_rlhf/ is a package: write `from part1_rlhf.helper import ...`."
    assert advice in check("normalize_reward").lines


def test_files_that_import_each_other_are_named(workspace):
    write(workspace, "helper", "from part1_rlhf.normalize_reward import normalize_reward\n\nscale = 1\n")
    text = (
        "from part1_rlhf.helper import scale\n\n\ndef normalize_reward(reward, eps=1e-5):\n    return scale * reward\n"
    )
    write(workspace, "normalize_reward", text)
    (likely,) = [line for line in check("normalize_reward").lines if line.startswith("likely: ")]
    assert "part1_rlhf/normalize_reward.py and part1_rlhf/helper.py import each other" in likely


@pytest.mark.parametrize("import_at", ["", ENTROPY], ids=["at the top", "in the function"])
def test_a_file_that_hides_a_module_is_to_be_renamed(workspace, import_at, monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    (workspace / "colorsys.py").write_text("x = 1\n")
    write(workspace, "calc_entropy_bonus", import_at + "from colorsys import x\n")
    lines = check("calc_entropy_bonus").lines
    assert any("colorsys.py, beside the notebooks, hides the module colorsys" in line for line in lines), lines
    assert not any("Put it there" in line for line in lines)


def test_a_result_of_numpy_is_refused_for_the_reason_that_holds_in_every_exercise(workspace):
    text = "import numpy as np\n\n\ndef normalize_reward(reward, eps=1e-5):\n    return np.zeros(3)\n"
    write(workspace, "normalize_reward", text)
    (likely,) = [line for line in check("normalize_reward").lines if line.startswith("likely: ")]
    assert "gradient" not in likely and "return a PyTorch tensor" in likely


@pytest.mark.parametrize(
    ("reduction", "mistake"), [("batchmean", "kl_div_batchmean"), ("mean", "kl_div_mean"), ("sum", None)]
)
@pytest.mark.parametrize("target", ["ref_logits.log_softmax(-1), log_target=True", "ref_logits.softmax(-1)"])
def test_torchs_kl_div_with_the_policy_first_is_named(workspace, reduction, mistake, target):
    call = f"F.kl_div(logits.log_softmax(-1), {target}, reduction={reduction!r})"
    head = "import torch.nn.functional as F\n\n\ndef calc_kl_penalty(logits, ref_logits, kl_coef, gen_len):\n"
    write(workspace, "calc_kl_penalty", f"{head}    return kl_coef * {call}\n")
    result = check("calc_kl_penalty")
    assert (result.status, result.mistake) == ("wrong", mistake)


# Reasons that the difference itself shows, and facts about how a wrong result comes about.


def lines_of(workspace, name, text):
    """The message for an answer, given as the text of its file."""
    (workspace / BY_NAME[name].path).write_text(text)
    result = check(name)
    assert result.status in ("wrong", "error") and len(result.lines) < 12
    return result.lines


def changed(name, *changes):
    """The reference answer's text with some of its parts replaced."""
    text = answer_text(name)
    for part, other in changes:
        assert part in text
        text = text.replace(part, other)
    return text


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_a_case_says_why_it_is_refused_exactly_where_an_exception_is_wanted(exercise):
    wanted = expected_results(exercise.name)
    for name, case in checks_of(exercise).CHECK.cases.items():
        assert bool(case.refused_because) == any("raised" in observation for observation in wanted[name]), name


GROUPS = """def {name}(rewards, group_size, eps=1e-4, scale_by_std=True):
    {test}
    table = rewards.reshape(-1, group_size)
    difference = table - table.mean(1, keepdim=True)
    if "{name}" == "rloo_advantages":
        difference = table - (table.sum(1, keepdim=True) - table) / (group_size - 1)
    elif scale_by_std:
        difference = difference / (table.std(1, keepdim=True) + eps)
    return difference.flatten()
"""
ALONE = "group_size is below 2, and a completion alone has nothing to be compared with."
INCOMPLETE = "group_size does not divide the number of rewards, so a group is incomplete."


@pytest.mark.parametrize("name", ["group_advantages", "rloo_advantages"])
@pytest.mark.parametrize(
    ("test", "likely"),
    [
        ("", f"Your code accepts this input, and should raise a ValueError: {ALONE}"),
        (
            "if group_size < 2:\n        raise ValueError",
            f"This input has to be refused with a ValueError: {INCOMPLETE}",
        ),
        ("if group_size < 2:\n        raise TypeError", f"This input has to be refused with a ValueError: {ALONE}"),
    ],
)
def test_a_missing_test_of_the_input_is_named_with_the_reason_of_the_refusal(workspace, name, test, likely):
    assert f"likely: {likely}" in lines_of(workspace, name, GROUPS.format(name=name, test=test))


AGGREGATED = """def aggregate_loss(token_loss, mask, kind, max_length=None):
    lengths, sums = mask.sum(1), token_loss.masked_fill(~mask, 0).sum(1)
    if kind == "sequence_mean":
        return (sums / lengths).mean()
    if kind == "token_mean":
        return sums.sum() / lengths.sum()
    {other}return sums.sum() / (len(sums) * max_length)
"""


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ("", "there is no kind of this name."),
        ('if kind != "constant":\n        raise ValueError(kind)\n    ', "`constant` needs a max_length."),
    ],
)
def test_a_loss_that_tests_none_of_its_arguments_is_told_which_input_it_has_to_refuse(workspace, other, why):
    lines = lines_of(workspace, "aggregate_loss", AGGREGATED.format(other=other))
    assert f"likely: This input has to be refused with a ValueError: {why}" in lines


@pytest.mark.parametrize(
    ("name", "change", "statement"),
    [
        ("best_of_n_kl", ("n < 1", "n < 2"), "raise"),
        ("best_of_n_kl", ("### BEGIN SOLUTION", "assert n != 16"), "assert"),
        ("sft_loss", ("### BEGIN SOLUTION", "if not loss_mask.any(1).all():\n        raise ValueError()"), "raise"),
    ],
)
def test_an_answer_that_refuses_an_allowed_input_is_told_that_its_own_statement_does(
    workspace, name, change, statement
):
    lines = lines_of(workspace, name, changed(name, change))
    assert f"likely: Your own `{statement}` refuses this input, and a result is wanted: look at its condition." in lines


def test_a_learners_own_kind_of_value_error_is_a_value_error(workspace):
    text = changed("best_of_n", ("raise ValueError", "raise NotANumber"))
    text = text.replace("def best_of_n", "class NotANumber(ValueError):\n    pass\n\n\ndef best_of_n")
    (workspace / BY_NAME["best_of_n"].path).write_text(text)
    assert check("best_of_n").status == "passed"


def test_a_known_mistake_is_named_where_no_input_is_refused_either(workspace):
    text = GROUPS.format(name="rloo_advantages", test="").replace(
        "table - (table.sum(1, keepdim=True) - table) / (group_size - 1)", "difference"
    )
    (workspace / BY_NAME["rloo_advantages"].path).write_text(text)
    assert check("rloo_advantages").mistake == "own_reward_kept"


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_arguments_of_variations_have_an_effect_on_the_right_result(exercise):
    use_code(SOLUTIONS)
    checked = checks_of(exercise).CHECK
    for first, second in checked.variations.values():
        numbers = [observation_of(checked, imported_answer(exercise.name), case) for case in (first, second)]
        assert numbers[0] != numbers[1]


def observation_of(checked, answer, case):
    """What an answer does on a case that need not be one of the check's."""
    return Check(checked.exercise, {"it": case}, checked._observe).observe(answer, "it")[0]


@pytest.mark.parametrize(
    ("name", "text", "arguments"),
    [
        (
            "compute_gae",
            "import torch\n\n\ndef compute_gae(values, rewards, mask, gamma, lam):\n"
            "    result, value, advantage = torch.zeros_like(values), 0, 0\n"
            "    for t in reversed(range(values.shape[1])):\n"
            "        advantage = rewards[:, t] + gamma * value - values[:, t] + gamma * lam * advantage\n"
            "        result[:, t], value = advantage, values[:, t]\n"
            "    return result\n",
            "`mask`",
        ),
        (
            "grpo_clip_loss",
            "import torch\n\n\ndef grpo_clip_loss(logprobs, old_logprobs, advantages, clip_low, clip_high):\n"
            "    ratio, a = (logprobs - old_logprobs.detach()).exp(), advantages.detach()\n"
            "    return -torch.minimum(ratio * a, ratio.clamp(max=1 + clip_high) * a)\n",
            "`clip_low`",
        ),
        (
            "dpo_loss",
            "from torch.nn.functional import logsigmoid\n\n\ndef dpo_loss(a, b, c, d, beta):\n"
            "    chosen, rejected = a - c.detach(), b - d.detach()\n"
            "    return -logsigmoid(chosen - rejected), chosen.detach(), rejected.detach()\n",
            "`beta`",
        ),
    ],
)
def test_an_argument_without_effect_is_named(workspace, name, text, arguments):
    assert f"that is: the result stays the same with another {arguments}" in lines_of(workspace, name, text)


def test_no_argument_is_said_to_have_no_effect_where_the_type_of_the_result_is_wrong(workspace):
    text = "def dpo_loss(a, b, c, d, beta):\n    return a, b\n"
    assert not [line for line in lines_of(workspace, "dpo_loss", text) if line.startswith("that is:")]


GAE = """import torch


@torch.no_grad()
def compute_gae(values, rewards, mask, gamma, lam):
    values, rewards = values.masked_fill(~mask, 0), rewards.masked_fill(~mask, 0)
    result, advantage = torch.zeros_like(values), 0
    last = values.shape[1] - 1
    for t in {columns}:
        delta = rewards[:, t] + gamma * (values[:, t + 1] if t < last else 0) {sign} values[:, t]
        advantage = delta + gamma * {weight} * advantage
        result[:, t] = advantage
    return result{rest}
"""
FORWARD, BACKWARD = "range(last + 1)", "range(last, -1, -1)"
OF_TWO = "that is: of a text of two tokens, with gamma = 0.5 and lam = 0.25, your"
FIRST = "r_0 + 0.125 r_1 - V_0 + 0.375 V_1"


@pytest.mark.parametrize(
    ("columns", "sign", "weight", "rest", "fact"),
    [
        (
            FORWARD,
            "-",
            "lam",
            " + 0 * rewards",
            f"{OF_TWO} second advantage is 0.125 r_0 + r_1 - 0.125 V_0 - 0.938 V_1",
        ),
        (BACKWARD, "+", "lam", "", f"{OF_TWO} second advantage is r_1 + V_1, and should be r_1 - V_1"),
        (
            BACKWARD,
            "-",
            "(1 - lam)",
            "",
            f"{OF_TWO} first advantage is r_0 + 0.375 r_1 - V_0 + 0.125 V_1, and should be {FIRST}",
        ),
        (
            BACKWARD,
            "-",
            "lam",
            " + 2.0 * ~mask",
            "that is: of a text of one token and padding, the advantage at padding is not 0",
        ),
    ],
)
def test_a_wrong_generalised_advantage_is_shown_as_a_formula(workspace, columns, sign, weight, rest, fact):
    text = GAE.format(columns=columns, sign=sign, weight=weight, rest=rest)
    assert any(line.startswith(fact) for line in lines_of(workspace, "compute_gae", text))


def test_a_value_of_padding_that_reaches_a_token_is_shown(workspace):
    text = GAE.format(columns=BACKWARD, sign="-", weight="lam", rest="")
    text = text.replace("rewards = values.masked_fill(~mask, 0), rewards.masked_fill(~mask, 0)", "known = values, mask")
    lines = lines_of(workspace, "compute_gae", text.replace("values[:, t + 1]", "(values * known)[:, t + 1]"))
    assert "that is: of a text of one token and padding, 0.125 r_1 - 0.125 V_1 of the padding" in "\n".join(lines)


@pytest.mark.parametrize(
    ("formula", "shown"),
    [
        ("ratio.exp() + ratio - 1", "exp(-d) - d - 1"),
        ("ratio.exp() - 1", "exp(-d) - 1"),
        ("1 - (-ratio).exp() - ratio", "-exp(d) + d + 1"),
    ],
)
def test_a_wrong_estimate_is_shown_as_a_formula_in_d(workspace, formula, shown):
    text = (
        "def kl_estimate(logprobs, ref_logprobs, kind):\n    ratio = logprobs - ref_logprobs.detach()\n"
        f'    kinds = {{"k1": ratio, "k2": ratio**2 / 2, "k3": {formula}}}\n'
        "    if kind not in kinds:\n        raise ValueError(kind)\n    return kinds[kind]\n"
    )
    fact = f"that is: with d = ref_logprobs - logprobs your k3 is {shown}, and should be exp(d) - d - 1"
    assert fact in lines_of(workspace, "kl_estimate", text)


@pytest.mark.parametrize(("axis", "others"), [("reshape(group_size, -1)", "2"), ("reshape(-1, group_size).T", "2, 4")])
def test_a_reward_of_another_prompt_that_counts_is_named(workspace, axis, others):
    text = (
        f"def rloo_advantages(rewards, group_size):\n    table = rewards.{axis}\n"
        "    if group_size < 2 or len(rewards) % group_size:\n        raise ValueError(group_size)\n"
        "    return (table - (table.sum(1, keepdim=True) - table) / (group_size - 1)).flatten()\n"
    )
    fact = f"that is: with six rewards and group_size = 2, your first advantage changes with the rewards at {others}, "
    assert any(line.startswith(fact) for line in lines_of(workspace, "rloo_advantages", text))


@pytest.mark.parametrize(("name", "total"), [("sequence_logprobs", "sum(-1)"), ("sft_loss", "sum() / -mask.sum()")])
def test_positions_whose_logits_count_wrongly_are_named(workspace, name, total):
    text = (
        f"def {name}(logits, ids, mask):\n    ids, mask = ids[:, :-1], mask[:, :-1]\n"
        + ("    if not mask.any():\n        raise ValueError\n" if name == "sft_loss" else "")
        + "    logprobs = logits[:, 1:].log_softmax(-1).gather(-1, ids[..., None])[..., 0]\n"
        f"    return logprobs.masked_fill(~mask, 0).{total}\n"
    )
    fact = "that is: with the mask 001110, the logits that count are those at the positions 3, 4, 5; they should be "
    assert any(line.startswith(fact) for line in lines_of(workspace, name, text))


@pytest.mark.parametrize(
    ("name", "change", "likely"),
    [
        ("best_of_n", (".argmax(dim=1)", ".max(dim=1)"), "values and indices together"),
        ("verify_sorted", ("float(completion", "int(completion"), "convert it with `float`"),
        (
            "dpo_loss",
            ("reference_chosen_logps.detach()", "reference_chosen_logps"),
            "A gradient reaches `reference_chosen_logps`, which counts as a constant: detach it.",
        ),
    ],
)
def test_a_wrong_type_and_a_gradient_at_a_constant_have_a_reason(workspace, name, change, likely):
    assert likely in "\n".join(lines_of(workspace, name, changed(name, change)))


def test_a_result_in_the_shape_of_another_argument_is_said_to_have_it(workspace):
    text = changed("normalize_rewards", ("return (rewards ", "return (0 * rewards.sum() + reference_rewards "))
    likely = "likely: The result has the shape of `reference_rewards`, and should have that of `rewards`."
    assert likely in lines_of(workspace, "normalize_rewards", text)


def test_a_dtype_that_is_written_down_is_named(workspace):
    text = "def reward_accuracy(chosen, rejected):\n    if not len(chosen):\n        raise ValueError\n"
    text += "    return ((chosen > rejected).float() + 0.5 * (chosen == rejected).float()).mean()\n"
    assert "leave out `.float()`" in "\n".join(lines_of(workspace, "reward_accuracy", text))


def test_the_message_of_a_reward_model_has_to_hold_the_index_of_the_empty_row(workspace):
    raised = answer_text("RewardModel").split("raise ValueError(")[1].split(")\n")[0]
    text = changed("RewardModel", (f"raise ValueError({raised})", 'raise ValueError("no real token")'))
    assert "got:    its message holds the row's index no" in lines_of(workspace, "RewardModel", text)
