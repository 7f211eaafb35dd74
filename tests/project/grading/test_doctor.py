"""`rlhf-course doctor` finds a sandbox exactly where grading does."""

import sys

import pytest
from rich.console import Console
from test_isolation import run, without_namespaces

from rlhf_course import doctor
from rlhf_course.grading.sandbox import isolation
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable, require_isolation

DOCTOR = [sys.executable, "-c", "from rlhf_course.cli import main; main()", "doctor"]


def sandbox_finding() -> doctor.Finding:
    (finding,) = (finding for finding in doctor.findings() if finding.component == "sandbox")
    return finding


def test_a_sandbox_is_found_where_the_isolation_that_grading_requires_is_available(monkeypatch):
    levels = []
    monkeypatch.setattr(isolation, "require_isolation", levels.append)
    assert sandbox_finding().found == "isolation 'namespaces'" and levels == ["namespaces"]


def test_a_sandbox_is_missing_where_grading_refuses_and_the_error_is_reported(monkeypatch):
    def refuse(level):
        raise IsolationUnavailable(level, "unshare: Operation not permitted [errno 1]")

    monkeypatch.setattr(isolation, "require_isolation", refuse)
    finding = sandbox_finding()
    assert finding.found is None and "Operation not permitted" in finding.note
    assert "max_user_namespaces" in finding.note, "the error says what to do"
    console = Console(record=True, width=400)
    doctor.print_report(console)
    assert "not permitted [errno 1]" in console.export_text(), "brackets of an error are no markup"


def test_on_this_machine_doctor_and_grading_agree():
    try:
        require_isolation("namespaces")
    except IsolationUnavailable as error:
        assert sandbox_finding().note == str(error)
    else:
        assert sandbox_finding().found


def test_where_the_kernel_refuses_namespaces_doctor_reports_the_reason_and_the_remedy():
    try:
        require_isolation("namespaces")
    except IsolationUnavailable as error:
        pytest.skip(str(error))
    done = run(*without_namespaces(*DOCTOR))
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if line.startswith(" sandbox"))
    assert "missing" in row and "max_user_namespaces" in " ".join(done.stdout.split())
