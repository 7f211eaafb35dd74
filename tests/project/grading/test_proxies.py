"""An answer in a sandbox behaves for a test as it would in this process."""

import pytest
import torch
from doubles import normal

from rlhf_course.course import EXERCISES
from rlhf_course.grading.judge.judge import Judge
from rlhf_course.grading.sandbox.answers import AnswerError
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import CODE_STUB

REFERENCE = {exercise.path: (SOLUTIONS / exercise.path).read_text() for exercise in EXERCISES}


def submission(**texts: str) -> Submission:
    """Return a submission of the reference's answers, some of which are replaced by a text, by module."""
    return Submission("test", {**REFERENCE, **{f"part1_rlhf/{name}.py": text for name, text in texts.items()}})


def test_a_result_and_its_gradient_equal_those_of_a_local_call(judge: Judge):
    from part1_rlhf import calc_kl_penalty

    logits, ref_logits = normal(3, 5, 7, seed=1).requires_grad_(), normal(3, 5, 7, seed=2)
    with judge.answers(submission()) as answers:
        remote = answers.answer("calc_kl_penalty")(logits, ref_logits, kl_coef=0.7, gen_len=5)
        (remote_gradient,) = torch.autograd.grad(3 * remote, logits)
    local = calc_kl_penalty(logits, ref_logits, kl_coef=0.7, gen_len=5)
    assert torch.equal(remote, local)
    assert torch.equal(remote_gradient, torch.autograd.grad(3 * local, logits)[0])


def test_a_gradient_reaches_the_tensors_that_the_input_was_computed_from(judge: Judge):
    weight = torch.tensor(2.0, requires_grad=True)
    with judge.answers(submission()) as answers:
        answers.answer("calc_entropy_bonus")(weight * normal(2, 3, 5), 1.0, 3).backward()
    assert weight.grad.abs() > 1e-3


def test_a_result_that_requires_no_gradient_requires_none_in_this_process(judge: Judge):
    with judge.answers(submission()) as answers:
        advantages = answers.answer("compute_advantages")(normal(2, 6).requires_grad_(), normal(2), prefix_len=3)
    assert not advantages.requires_grad and advantages.shape == (2, 3)


def test_an_argument_that_is_changed_in_place_is_changed_for_the_caller(judge: Judge):
    text = "def normalize_reward(reward, eps=1e-5):\n    reward -= 1\n    reward[0] = float('nan')\n    return reward\n"
    reward, before = torch.ones(4), torch.ones(4)
    with judge.answers(submission(normalize_reward=text)) as answers:
        result = answers.answer("normalize_reward")(reward)
    assert torch.equal(reward[1:], before[1:] - 1) and reward[0].isnan()
    assert torch.equal(result[1:], reward[1:])


def test_an_argument_that_the_answer_does_not_change_is_not_written_to(judge: Judge):
    reward = torch.tensor([1.0, float("nan"), 3.0])
    version = reward._version
    with judge.answers(submission()) as answers:
        answers.answer("normalize_reward")(reward)
    assert reward._version == version


@pytest.mark.parametrize("change", ["detach_()", "requires_grad_(False)", "requires_grad_()"])
def test_an_argument_that_is_detached_or_attached_in_place_is_so_for_the_caller(judge: Judge, change: str):
    text = f"def normalize_reward(reward, eps=1e-5):\n    result = 2 * reward\n    reward.{change}\n    return result\n"
    wants_gradient = change == "requires_grad_()"
    reward = torch.ones(4, requires_grad=not wants_gradient)
    if change == "detach_()":
        reward = 3 * reward
    with judge.answers(submission(normalize_reward=text)) as answers:
        result = answers.answer("normalize_reward")(reward)
    assert reward.requires_grad == wants_gradient and result.requires_grad != wants_gradient


def test_an_object_that_cannot_be_sent_arrives_as_one_of_a_class_with_the_same_name(judge: Judge):
    text = (
        "import numpy\n\n\n"
        "def normalize_reward(reward, eps=1e-5):\n    return numpy.zeros(3), reward.to_sparse(), object\n"
    )
    with judge.answers(submission(normalize_reward=text)) as answers:
        result = answers.answer("normalize_reward")(torch.ones(3))
    assert [type(value).__name__ for value in result] == ["ndarray", "SparseTensor", "type"]


def test_strings_numbers_and_nested_results_arrive_unchanged(judge: Judge):
    text = (
        "def normalize_reward(reward, eps=1e-5):\n"
        "    return {'a': [1, 2.5, None, True], 'b': (reward > 1, 'é')}, float('inf')\n"
    )
    with judge.answers(submission(normalize_reward=text)) as answers:
        result, infinite = answers.answer("normalize_reward")(torch.tensor([1.0, 2.0]))
    assert result["a"] == [1, 2.5, None, True] and result["b"][0].tolist() == [False, True] and result["b"][1] == "é"
    assert infinite == float("inf")


def test_the_error_of_an_exception_holds_only_its_class_and_the_learners_line(judge: Judge):
    text = "SECRET = 5\n\n\ndef normalize_reward(reward, eps=1e-5):\n    raise KeyError(f'{SECRET} {reward}')\n"
    with judge.answers(submission(normalize_reward=text)) as answers, pytest.raises(AnswerError) as caught:
        answers.answer("normalize_reward")(torch.ones(3))
    assert caught.value.message == "KeyError, at line 5 of normalize_reward.py"
    assert caught.value.exception == ("KeyError", "LookupError", "Exception") and caught.value.kind == "error"


def test_the_error_of_a_file_that_does_not_parse_holds_the_line(judge: Judge):
    with (
        judge.answers(submission(normalize_reward="x = 1\ndef normalize_reward(:\n")) as answers,
        pytest.raises(AnswerError, match=r"SyntaxError, at line 2 of normalize_reward\.py"),
    ):
        answers.answer("normalize_reward")


def test_a_stub_is_a_missing_answer(judge: Judge):
    text = f"def normalize_reward(reward, eps=1e-5):\n    {CODE_STUB}\n"
    with judge.answers(submission(normalize_reward=text)) as answers, pytest.raises(AnswerError) as caught:
        answers.answer("normalize_reward")(torch.ones(3))
    assert caught.value.kind == "missing"


def test_a_learners_own_helper_module_can_be_imported(judge: Judge):
    text = "from part1_rlhf.mine.helpers import normalize_reward\n"
    files = {
        **submission(normalize_reward=text).files,
        "part1_rlhf/mine/helpers.py": REFERENCE["part1_rlhf/normalize_reward.py"],
    }
    with judge.answers(Submission("test", files)) as answers:
        assert answers.answer("normalize_reward")(torch.arange(5.0)).mean().abs() < 1e-6


def test_an_answer_does_not_change_the_random_state_of_this_process(judge: Judge):
    before = torch.get_rng_state()
    text = (
        "import torch\n\n\n"
        "def normalize_reward(reward, eps=1e-5):\n    torch.manual_seed(3)\n    return torch.rand(3)\n"
    )
    with judge.answers(submission(normalize_reward=text)) as answers:
        answers.answer("normalize_reward")(torch.ones(3))
    assert torch.equal(before, torch.get_rng_state())


def test_settings_of_torch_that_an_answer_changes_are_restored_after_each_call_and_reported(judge: Judge):
    text = (
        "import torch\n\n\n"
        "def normalize_reward(reward, eps=1e-5):\n    result = torch.zeros(len(reward))\n"
        "    torch.set_default_dtype(torch.float64)\n    return result\n"
    )
    probe = torch.ones(2)
    with judge.answers(submission(normalize_reward=text)) as answers:
        answer = answers.answer("normalize_reward")
        assert [answer(torch.ones(3)).dtype for _ in range(2)] == [torch.float32, torch.float32]
        report = answer.results_of_calls(calls=[[torch.ones(3)]], probe=probe)
    assert report["settings"] == ["its default dtype"] and report["gradients"] and not report["seeded"]


def test_a_class_name_that_the_learner_chose_is_not_shown(judge: Judge):
    text = "class secret_text(KeyError):\n    pass\n\n\ndef normalize_reward(reward, eps=1e-5):\n    {}\n"
    raising = submission(normalize_reward=text.format("raise secret_text"))
    with judge.answers(raising) as answers, pytest.raises(AnswerError) as caught:
        answers.answer("normalize_reward")(torch.ones(3))
    assert caught.value.message == "KeyError, at line 6 of normalize_reward.py"
    with judge.answers(submission(normalize_reward=text.format("return secret_text()"))) as answers:
        assert type(answers.answer("normalize_reward")(torch.ones(3))).__name__ == "object"


ENVIRONMENT = """
import os
import sys


def normalize_reward(reward, eps=1e-5):
    seen = {"root": os.listdir("/"), "variables": sorted(os.environ), "home": os.listdir(".")}
    seen["processes"] = [name for name in os.listdir("/proc") if name.isdigit()]
    seen["interfaces"] = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
    names = ("CapEff", "CapBnd", "NoNewPrivs")
    seen["capabilities"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith(names)]
    seen["user"] = [os.getuid(), os.getgid(), os.getgroups() if os.getuid() > 1000 else []]
    seen["part1_rlhf"] = os.listdir("part1_rlhf")
    folders = ("/", "/tmp", "/dev", "/usr", sys.prefix, os.path.dirname(os.__file__))
    seen["writable"] = [folder for folder in folders if os.access(folder, os.W_OK)]
    return seen
"""


def test_a_sandbox_sees_only_its_own_files_processes_and_network_and_has_no_capabilities(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SECRET_TOKEN", "secret")
    files = {"part1_rlhf/normalize_reward.py": ENVIRONMENT}
    with judge.answers(Submission("test", files)) as answers:
        seen = answers.answer("normalize_reward")(torch.ones(2))
    assert seen["home"] == ["part1_rlhf"] and sorted(seen["part1_rlhf"]) == ["__init__.py", "normalize_reward.py"]
    assert seen["processes"] == ["1", "2"], "the namespace holder and the worker"
    assert seen["interfaces"] == ["lo"]
    assert not {"SECRET_TOKEN", "PYTHONPATH", "SSH_AUTH_SOCK"} & set(seen["variables"])
    assert {int(value, 16) for value in seen["capabilities"]} == {0, 1}, "it has none and can gain none"
    assert 0 not in seen["user"] and seen["user"][2] == []
    assert seen["writable"] == []
    assert not {"boot", "mnt", "srv", "opt", "media", "var", "bin", "sbin"} & set(seen["root"])


def test_the_trainers_sandbox_holds_the_references_functions_and_not_the_learners_other_answers(judge: Judge):
    template = (
        "import os\n\n\nclass RLHFTrainer:\n    def __init__(self, args):\n        raise [ValueError, KeyError][{}]()\n"
    )
    condition = "open('part1_rlhf/normalize_reward.py').read().count('MINE') + os.path.exists('part1_rlhf/nothing.py')"
    files = submission(trainer=template.format(condition), normalize_reward="MINE = 1\n").files
    with judge.answers(Submission("test", files)) as answers:
        assert answers.answer("RLHFTrainer").observe(case="rollout") == {"raised": "ValueError"}
