"""`rlhf-course doctor` finds an isolation level available exactly where grading does."""

import sys

import pytest
from rich.console import Console
from test_isolation import run, without_namespaces

from rlhf_course import doctor
from rlhf_course.grading.sandbox import isolation
from rlhf_course.grading.sandbox.isolation import LEVELS, IsolationUnavailable, require_isolation

DOCTOR = [sys.executable, "-c", "from rlhf_course.cli import main; main()", "doctor"]


def sandbox_findings() -> dict[str, doctor.Finding]:
    """Return the findings of the isolation levels, by level."""
    prefix = "sandbox: "
    return {
        finding.component.removeprefix(prefix): finding
        for finding in doctor.findings()
        if finding.component.startswith(prefix)
    }


def test_every_isolation_level_is_probed_as_grading_does_and_found_where_it_is_available(monkeypatch):
    probed = []
    monkeypatch.setattr(isolation, "require_isolation", probed.append)
    findings = sandbox_findings()
    assert tuple(findings) == tuple(probed) == LEVELS
    assert {finding.found for finding in findings.values()} == {"available"}


def test_a_level_is_missing_where_grading_refuses_it_and_the_error_is_reported(monkeypatch):
    def refuse(level):
        raise IsolationUnavailable(level, "unshare: Operation not permitted [errno 1]")

    monkeypatch.setattr(isolation, "require_isolation", refuse)
    finding = sandbox_findings()["namespaces"]
    assert finding.found is None and "Operation not permitted" in finding.note
    assert "max_user_namespaces" in finding.note, "the error says what to do"
    console = Console(record=True, width=500)
    doctor.print_report(console)
    assert "not permitted [errno 1]" in console.export_text(), "brackets of an error are no markup"


def test_on_this_machine_doctor_and_grading_agree_about_every_level():
    for level, finding in sandbox_findings().items():
        try:
            require_isolation(level)
        except IsolationUnavailable as error:
            assert finding.found is None and finding.note == str(error)
        else:
            assert finding.found == "available"


def test_where_the_kernel_refuses_namespaces_doctor_reports_the_reason_and_the_remedy():
    try:
        require_isolation("namespaces")
    except IsolationUnavailable as error:
        pytest.skip(str(error))
    done = run(*without_namespaces(*DOCTOR))
    assert done.returncode == 0, done.stderr
    rows = {line.split("  ")[0].strip(): line for line in done.stdout.splitlines()}
    assert "missing" in rows["sandbox: namespaces"] and "available" in rows["sandbox: unsafe"]
    assert "max_user_namespaces" in done.stdout
