"""Benchmarks keep the figures of each processor, and say when the machine was busy."""

import json
from itertools import count
from types import SimpleNamespace

import pytest

from rlhf_course.files import load_module
from rlhf_course.paths import REPOSITORY


@pytest.fixture
def harness(tmp_path, monkeypatch):
    module = load_module(REPOSITORY / "benchmarks" / "harness.py", "harness")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    return module


def measure(harness, monkeypatch, processor: str, figure: float) -> None:
    monkeypatch.setattr(harness, "processor", lambda: processor)
    with harness.measurement("speed") as results:
        results["figure"] = figure


def test_a_run_adds_the_figures_of_another_processor_and_replaces_those_of_its_own(harness, monkeypatch, tmp_path):
    measure(harness, monkeypatch, "first", 1.0)
    measure(harness, monkeypatch, "second", 2.5)
    measure(harness, monkeypatch, "first", 3.0)
    stored = json.loads((tmp_path / "speed.json").read_text())
    assert {name: results["figure"] for name, results in stored.items()} == {"first": 3.0, "second": 2.5}
    assert stored["first"]["machine"].keys() >= {"cpu", "load_average_before", "other_programs_during"}


def test_a_run_that_fails_leaves_the_earlier_figures(harness, monkeypatch, tmp_path):
    measure(harness, monkeypatch, "first", 1.0)
    before = (tmp_path / "speed.json").read_text()
    with pytest.raises(ZeroDivisionError), harness.measurement("speed"):
        raise ZeroDivisionError
    assert (tmp_path / "speed.json").read_text() == before


@pytest.mark.parametrize("busy", [False, True])
def test_a_warning_says_that_other_programs_disturbed_a_run(harness, monkeypatch, capsys, busy):
    seconds = count(step=1000.0 if busy else 0.0)
    monkeypatch.setattr(harness.psutil, "cpu_times", lambda: SimpleNamespace(user=next(seconds)))
    measure(harness, monkeypatch, "first", 1.0)
    assert ("the machine was busy" in capsys.readouterr().err) == busy


def test_tables_have_rows_and_sentences_have_ranges_of_all_processors(harness, monkeypatch, tmp_path):
    tables = load_module(REPOSITORY / "benchmarks" / "tables.py", "tables")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    measure(harness, monkeypatch, "first", 1.0)
    assert tables.range_over_processors("speed", lambda results: results["figure"]) == "1.0"
    measure(harness, monkeypatch, "second", 2.5)
    assert tables.range_over_processors("speed", lambda results: results["figure"]) == "1.0 to 2.5"
    table = tables.by_processor("speed", ["figure"], lambda results: [[str(results["figure"])]])
    assert table.splitlines()[2:] == ["| first | 1.0 |", "| second | 2.5 |"]


def test_two_runs_are_compared_by_their_ranges_and_medians(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    repeated = load_module(REPOSITORY / "benchmarks" / "repeated.py", "repeated")

    def spread(low: float, median: float, high: float) -> dict:
        return {"median": median, "low": low, "high": high, "repeats": 5}

    first = {"a": {"seconds": spread(1, 2, 3)}, "b": spread(1, 2, 3), "c": spread(1, 2, 3), "saved": spread(-1, 0, 1)}
    second = {
        "a": {"seconds": spread(2, 2.5, 4)},
        "b": spread(2.5, 4, 5),
        "c": spread(4, 5, 6),
        "saved": spread(0, 0, 1),
    }
    first |= {"times_as_fast": {"peer": 1.0, "ours": 2.0}, "only first": spread(1, 1, 1)}
    second |= {"times_as_fast": {"peer": 1.0, "ours": 3.0}}
    assert repeated.compared(first, second) == {
        "medians": 4,
        "ranges_overlap": 3,
        "second_in_first_range": 2,
        "second_over_first": {"median": 2.0, "low": 1.25, "high": 2.5},
        "second_ratio_over_first": {"median": 1.5, "low": 1.5, "high": 1.5},
    }
