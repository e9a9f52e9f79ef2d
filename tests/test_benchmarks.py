"""The benchmark of a step runs, on tensors so small that its numbers say nothing."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from .family import needs_compiler

pytestmark = needs_compiler
COLUMNS = ["torch for-loop", "torch foreach", "torch fused"]
OURS = ["ours", "compiled", "floor", "ratio", "× floor", "GB/s", "per byte"]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, where the other library is not installed."""
    path = Path(__file__).parents[1] / "benchmarks" / "optimizers.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_optimizers", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look there
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "OTHER", "no_such_library")
    return module


def test_the_table_has_its_rows_and_columns(benchmark: ModuleType) -> None:
    rules = [r for r in benchmark.RULES if r.name in ("AdamW", "SGD", "Lion")]
    measured = benchmark.measure("tiny", [(3,), (2, 2)], rules, rounds=1, compile_torch=False)
    headings, rows = measured.rows()
    assert headings == ["rule", *COLUMNS, *OURS]
    assert [row[0] for row in rows] == ["AdamW", "Lion", "SGD"]
    assert {len(row) for row in rows} == {len(headings)}
    shown = {row[0]: dict(zip(headings, row, strict=True)) for row in rows}
    assert all(float(shown[rule][name]) >= 0 for rule in shown for name in OURS if name != "ratio")
    assert all(float(shown["SGD"][name]) >= 0 for name in headings[1:])
    assert [shown["Lion"][name] for name in (*COLUMNS, "ratio")] == ["–"] * 4  # nobody else has it
    told = benchmark.page([measured], [("SGD", 1.0, 0.5)], benchmark.machine())
    assert "no_such_library is not installed" in told
    assert "## tiny: 2 tensors, 7 parameters, µs/step" in told
    assert f"| {' | '.join(headings)} |" in told
    assert f"| {' | '.join(rows[0])} |" in told
    assert "| Lion | – |" in benchmark.summary([measured], "here")


def test_every_rule_has_a_row(benchmark: ModuleType) -> None:
    from adamproof import optimizers as ours

    of_ours = {n.removesuffix("Reference") for n in ours.__all__ if n.endswith("Reference")}
    assert {rule.name for rule in benchmark.RULES} == of_ours - {"", "SWATS", "AMSBound"}
    assert {rule.name for rule in benchmark.RULES if rule.fused} == {"AdamW", "Adam", "AMSGrad",
                                                                     "Adagrad", "SGD"}  # fmt: skip
