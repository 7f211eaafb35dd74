"""A learner's session: cells, files, kernels that come and go, and nothing lost."""

import json

from learners import answer_text, stub_text

from rlhf_course.course import DEFAULT_PART, EXERCISES

NAME = "calc_entropy_bonus"


def file(workspace):
    return workspace / DEFAULT_PART.name / f"{NAME}.py"


def versions(workspace):
    return sorted(path.read_text() for path in (workspace / DEFAULT_PART.name / ".history").glob("*.py"))


def work(number):
    return f"def {NAME}(logits, ent_coef, gen_len):\n    return {number}"


def test_running_a_cell_saves_its_exact_text_and_binds_what_the_file_defines(workspace, start_kernel):
    kernel = start_kernel()
    shown = kernel.exercise(NAME, work(11))
    assert shown.error is None
    assert f"saved to part1_rlhf/{NAME}.py" in shown.output
    assert file(workspace).read_text() == work(11) + "\n"
    assert kernel.value(f"{NAME}(0, 0, 0), {NAME}.__module__") == f"(11, 'part1_rlhf.{NAME}')"


def test_the_magic_also_comes_as_an_extension(workspace, start_kernel):
    kernel = start_kernel()
    kernel.run("get_ipython().magics_manager.magics['cell'].pop('exercise')")
    assert "not found" in kernel.exercise(NAME, work(11)).output
    assert kernel.run("%load_ext rlhf_course").error is None
    assert "saved" in kernel.exercise(NAME, work(11)).output


def test_after_a_restart_the_next_notebook_uses_the_work(workspace, start_kernel):
    first = start_kernel()
    first.exercise(NAME, work(11))
    first.end()
    second = start_kernel()
    assert second.value(f"__import__('part1_rlhf').{NAME}(0, 0, 0)") == "11"
    assert second.run(f"from part1_rlhf import {NAME}").error is None
    # and the same notebook goes on: its cell, edited after the restart, is saved again
    assert "saved" in second.exercise(NAME, work(12)).output
    assert file(workspace).read_text() == work(12) + "\n"


def test_two_quick_edits_of_one_length_are_both_seen(workspace, start_kernel):
    kernel = start_kernel()
    for number in (11, 12, 13):
        kernel.exercise(NAME, work(number))
        assert kernel.value(f"{NAME}(0, 0, 0), __import__('part1_rlhf').{NAME}(0, 0, 0)") == f"({number}, {number})"


def test_an_untouched_stub_overwrites_nothing(workspace, start_kernel):
    file(workspace).write_text(work(11) + "\n")
    kernel = start_kernel()
    shown = kernel.exercise(NAME, stub_text(NAME))
    assert "holds work" in shown.output
    assert file(workspace).read_text() == work(11) + "\n"
    assert kernel.value(f"{NAME}(0, 0, 0)") == "11"
    # and an answer that is then typed into that cell does not replace what an editor wrote
    assert "not saved" in kernel.exercise(NAME, work(12)).output
    assert file(workspace).read_text() == work(11) + "\n"


def test_a_stub_in_the_cell_and_in_the_file_is_bound_in_silence(workspace, start_kernel):
    kernel = start_kernel()
    shown = kernel.exercise(NAME, stub_text(NAME))
    assert (shown.error, shown.output.strip()) == (None, "")
    assert kernel.run(f"{NAME}(0, 0, 0)").error == "NotImplementedError"


def test_a_file_edited_outside_is_respected(workspace, start_kernel):
    kernel = start_kernel()
    kernel.exercise(NAME, work(11))
    file(workspace).write_text(work(99) + "\n")
    shown = kernel.exercise(NAME, work(12))
    assert "not saved" in shown.output and "--replace" in shown.output and "load(" in shown.output
    assert file(workspace).read_text() == work(99) + "\n"
    assert kernel.value(f"{NAME}(0, 0, 0)") == "99"


def test_the_file_can_be_loaded_into_a_cell_and_worked_on_there(workspace, start_kernel):
    kernel = start_kernel()
    kernel.exercise(NAME, work(11))
    file(workspace).write_text(work(99) + "\n")
    assert kernel.run(f"load({NAME!r})").next_cell == f"%%exercise {NAME}\n{work(99)}"
    assert "saved" in kernel.exercise(NAME, work(100)).output
    assert work(99) + "\n" in versions(workspace)


def test_the_file_can_be_replaced_and_its_text_is_kept(workspace, start_kernel):
    kernel = start_kernel()
    kernel.exercise(NAME, work(11))
    file(workspace).write_text(work(99) + "\n")
    assert "saved" in kernel.exercise(NAME, work(12), "--replace").output
    assert file(workspace).read_text() == work(12) + "\n"
    assert work(99) + "\n" in versions(workspace)


def test_a_file_edited_outside_before_the_first_cell_of_a_fresh_kernel_is_respected(workspace, start_kernel):
    kernel = start_kernel()
    kernel.exercise(NAME, work(11))
    kernel.end()
    file(workspace).write_text(work(99) + "\n")
    assert "not saved" in start_kernel().exercise(NAME, work(12)).output
    assert file(workspace).read_text() == work(99) + "\n"


def test_a_syntax_error_loses_nothing(workspace, start_kernel):
    kernel = start_kernel()
    kernel.exercise(NAME, work(11))
    shown = kernel.exercise(NAME, "def calc_entropy_bonus(logits, ent_coef, gen_len):\n    return (1,")
    assert shown.error is None
    assert "SyntaxError" in shown.output and "line 3 of the cell: return (1," in shown.output
    assert file(workspace).read_text() == work(11) + "\n"
    assert kernel.value(f"{NAME}(0, 0, 0)") == "11"


def test_two_notebooks_open_at_once_do_not_clobber_each_other(workspace, start_kernel):
    first, second = start_kernel(), start_kernel()
    first.exercise(NAME, work(11))
    assert "not saved" in second.exercise(NAME, work(22)).output
    assert file(workspace).read_text() == work(11) + "\n"
    assert second.value(f"{NAME}(0, 0, 0)") == "11"
    second.exercise(NAME, work(22), "--replace")
    assert "not saved" in first.exercise(NAME, work(12)).output
    assert file(workspace).read_text() == work(22) + "\n"
    # each may go on with its own exercise
    assert (
        "saved"
        in first.exercise("normalize_reward", "def normalize_reward(reward, eps=1e-5):\n    return reward").output
    )
    state = json.loads((workspace / DEFAULT_PART.name / ".progress.json").read_text())
    assert {"calc_entropy_bonus", "normalize_reward"} <= state["exercises"].keys()


def test_other_names_and_other_arguments_are_refused_and_nothing_is_saved(workspace, start_kernel):
    kernel, before = start_kernel(), file(workspace).read_text()
    assert f"does not define {NAME}" in kernel.exercise(NAME, "def entropy(logits):\n    return 1").output
    shown = kernel.exercise(NAME, f"def {NAME}(logits, gen_len):\n    return 1")
    assert "wanted: calc_entropy_bonus(logits, ent_coef, gen_len)" in shown.output
    assert file(workspace).read_text() == before
    assert "is no exercise" in kernel.exercise("calc_entropy", work(1)).output


def test_arguments_with_defaults_and_helpers_of_ones_own_are_welcome(workspace, start_kernel):
    kernel = start_kernel()
    text = (
        f"def helper(x):\n    return x + 1\n\ndef {NAME}(logits, ent_coef, gen_len, base=2):\n    return helper(base)"
    )
    assert "saved" in kernel.exercise(NAME, text).output
    assert kernel.value(f"{NAME}(0, 0, 0)") == "3"


def test_a_cell_that_fails_when_it_loads_is_saved_and_says_where(workspace, start_kernel):
    kernel = start_kernel()
    shown = kernel.exercise(NAME, work(1) + "\n\nmissing_name")
    assert shown.error is None
    assert (
        "NameError" in shown.output
        and f"line 4 of part1_rlhf/{NAME}.py (line 5 of the cell): missing_name" in shown.output
    )
    assert kernel.run(f"check({NAME})").error is None


def test_a_cell_with_the_line_ends_of_windows_is_saved_again_and_again(workspace, start_kernel):
    kernel = start_kernel()
    assert "saved" in kernel.exercise(NAME, work(11).replace("\n", "\r\n")).output
    assert "saved" in kernel.exercise(NAME, work(12).replace("\n", "\r\n")).output
    assert file(workspace).read_bytes() == f"{work(12)}\n".encode()


def test_after_a_cell_that_was_not_saved_a_check_says_that_it_looks_at_the_file(workspace, start_kernel):
    kernel = start_kernel()
    kernel.exercise(NAME, answer_text(NAME))
    kernel.exercise(NAME, f"%timeit 1\ndef {NAME}(logits, ent_coef, gen_len):\n    return 1")
    shown = kernel.run(f"check({NAME!r})").output
    assert f"{NAME}: passed" in shown and "The cell was not saved when it last ran" in shown
    kernel.exercise(NAME, work(12))
    assert "not saved" not in kernel.run(f"check({NAME!r})").output


def test_a_function_defined_without_the_magic_is_noticed(workspace, start_kernel):
    kernel = start_kernel()
    kernel.run(work(12))
    shown = kernel.run(f"check({NAME!r})").output
    assert "not attempted" in shown and f"begin that cell with %%exercise {NAME}" in shown


def test_whatever_a_cell_raises_is_told_in_a_few_lines(workspace, start_kernel):
    kernel = start_kernel()
    for text in ("raise KeyboardInterrupt", "raise BaseException('odd')", "import sys\nsys.exit(1)"):
        shown = kernel.exercise(NAME, f"{text}\n{work(1)}")
        assert shown.error is None and f"line {len(text.splitlines())} of part1_rlhf/{NAME}.py" in shown.output
        inside = text.replace("\n", "\n    ")
        kernel.exercise(NAME, f"def {NAME}(logits, ent_coef, gen_len):\n    {inside}")
        checked = kernel.run(f"check({NAME!r})")
        assert checked.error is None and "error" in checked.output and "Traceback" not in checked.output


def test_reset_gives_the_stub_back_and_keeps_the_text(workspace, start_kernel):
    kernel = start_kernel()
    kernel.exercise(NAME, work(11))
    shown = kernel.run(f"reset({NAME!r})")
    assert "holds the stub again" in shown.output and ".history" in shown.output
    assert file(workspace).read_text().rstrip() == stub_text(NAME)
    assert versions(workspace) == [work(11) + "\n"]
    assert shown.next_cell == f"%%exercise {NAME}\n{stub_text(NAME)}"
    assert kernel.run(f"{NAME}(0, 0, 0)").error == "NotImplementedError"


def test_a_whole_exercise_from_stub_to_passed(workspace, start_kernel):
    kernel = start_kernel()
    kernel.exercise(NAME, stub_text(NAME))
    assert "not attempted" in kernel.run(f"check({NAME})").output
    assert "hint 1 of 3" in kernel.run(f"hint({NAME})").output
    kernel.exercise(NAME, answer_text(NAME).replace("ent_coef * entropy", "-ent_coef * entropy"))
    shown = kernel.run(f"check({NAME})").output
    assert "wrong" in shown and "likely: The sign is wrong" in shown
    kernel.exercise(NAME, answer_text(NAME))
    shown = kernel.run(f"check({NAME})")
    assert f"{NAME}: passed" in shown.output
    assert "2 hints not opened" in shown.output
    assert (
        "<check of calc_entropy_bonus: passed>" in shown.output
    )  # a terminal shows the result; a notebook has it above
    table = kernel.run("progress()").output
    assert f"1 of {len(EXERCISES)} passed" in table


def test_an_error_of_the_course_is_shown_by_its_message_and_the_learners_own_lines(start_kernel):
    kernel = start_kernel()
    kernel.run("def mine():\n    import rlhf_course\n    return rlhf_course.load_model('./nowhere')")
    shown = kernel.run("mine()")
    lines = shown.output.strip().splitlines()
    assert shown.error == "CourseError" and "Traceback" not in shown.output and len(lines) == 3
    assert "line 1: mine()" in lines[0] and "line 3: return rlhf_course.load_model" in lines[1]
    assert lines[2].startswith("CourseError: base_model './nowhere': no such folder")


def test_code_that_a_library_generates_is_not_shown_as_the_learners(start_kernel):
    shown = start_kernel().run("from rlhf_course import RLHFArgs\nRLHFArgs(batch_size=10)")
    assert len(shown.output.strip().splitlines()) == 2 and "<string>" not in shown.output


def test_an_error_of_the_learners_own_code_keeps_its_traceback(start_kernel):
    shown = start_kernel().run("import torch\ntorch.zeros(2) + torch.zeros(3)")
    assert shown.error == "RuntimeError" and "Traceback" in shown.output
