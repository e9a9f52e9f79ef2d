"""`adamproof experiment` as a user meets it, and its verdicts beside the claims."""

import csv
import hashlib
import json
import math
import re
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from adamproof import cli, experiment, exporting, measured
from adamproof.experiments import provenance, studies, verdicts
from adamproof.experiments.registry import Registry
from adamproof.experiments.store import Store
from adamproof.experiments.study import Control, Finding, Outcome, Study

from . import toy


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, and toys for all studies, tasks and methods."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, "compute", computed)
    use(monkeypatch, toy.study())
    return tmp_path


def computed(*args: Any, **settings: Any) -> Any:
    from adamproof.experiments import runner

    return runner.run(*args, **settings, tasks=toy.TASKS, methods=toy.METHODS)


def use(monkeypatch: pytest.MonkeyPatch, study: Study) -> None:
    known = Registry[Study]("study")
    known.add(study.name, study)
    for module in (experiment, exporting):
        monkeypatch.setattr(module, "studies", lambda: known)
    for module in (experiment, measured):
        monkeypatch.setattr(module, "declared", lambda: {study.name: study.question})


@pytest.fixture
def run(monkeypatch, capsys):  # type: ignore[no-untyped-def]
    """Run the command line in this process: status, standard output, standard error."""

    def words(*given: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["adamproof", "experiment", *given])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out = capsys.readouterr()
        return int(stopped.value.code or 0), out.out, out.err

    return words


BAD = {
    ("run", "tyo"): "there is no study 'tyo'; the nearest is 'toy'",
    ("show", "tyo"): "there is no study 'tyo'; the nearest is 'toy'",
    ("export", "tyo", "--out", "x.csv"): "there is no study 'tyo'; the nearest is 'toy'",
    ("run", "toy", "--size", "huge"): "no size 'huge'; there are small, default, large",
    ("show", "toy", "--size", "huge"): "no size 'huge'; there are small, default, large",
    ("run", "toy", "--workers", "-1"): "--workers must be at least 1, got -1",
    ("run", "toy", "--workers", "2", "--scheduler", "tcp://x:1"): "choose one",
    ("run", "toy", "--scheduler", "tcp://localhost:1"): "no Dask scheduler answers at 'tcp://localhost:1'",
    ("run", "toy", "--device", "abacus"): "is no torch device",
    ("run", "toy", "--results", "afile"): "afile/rows.sqlite cannot be used",
    ("run", "toy", "--results", "foreign"): "is no store of experiments, and is left as it is",
    ("show", "toy", "--results", "foreign"): "is no store of experiments, and is left as it is",
    ("list", "--results", "foreign"): "is no store of experiments, and is left as it is",
    ("export", "toy", "--out", "x.csv"): "no rows of toy at size default are known in results",
    ("export", "toy", "--format", "xlsx", "--out", "x"): "no format 'xlsx'; there are csv, parquet",
}  # fmt: skip


@pytest.mark.parametrize("words, told", BAD.items(), ids=[" ".join(words) for words in BAD])
def test_bad_input_is_one_sentence(here, run, words, told):  # type: ignore[no-untyped-def]
    (here / "afile").touch()
    (here / "foreign").mkdir()
    (here / "foreign" / "rows.sqlite").write_text("my recipes")
    status, out, err = run(*words)
    assert status == 2 and not out
    assert told in err
    assert err.startswith("adamproof: ") and err.count("\n") == 1 and "--debug" not in err
    assert (here / "foreign" / "rows.sqlite").read_text() == "my recipes"


def test_no_seeds_and_missing_packages_are_one_sentence(here, run, monkeypatch):  # type: ignore[no-untyped-def]
    use(monkeypatch, toy.study(plan=lambda table, size: []))
    assert "toy wants no runs at size default: it has no seeds" in run("run", "toy")[2]

    def without() -> None:
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    monkeypatch.setattr(experiment, "studies", without)
    assert (
        "need scipy, which is not installed: pip install 'adamproof[experiments]'"
        in run("run", "toy")[2]
    )


def test_run_computes_prints_and_draws(here, run, monkeypatch):  # type: ignore[no-untyped-def]
    def draw(table: Any, size: str, folder: Path) -> list[Path]:
        (folder / "losses.png").write_bytes(b"")
        return [folder / "losses.png"]

    use(monkeypatch, toy.study(draw=draw))
    status, out, err = run("run", "toy", "--size", "small")
    assert (status, err) == (0, "")
    for told in (
        *("Which toy falls faster?", "Adam falls faster.", "supported", "eps-hat", "two ridges"),
        *("+0.3333 [-0.6667, +1.333] loss", "0.01", "60 rows", "passed"),
        "picture: results/toy/losses.png",
    ):
        assert told in out
    assert run("show", "toy", "--size", "small")[1] == out


def test_a_note_is_told_once(here, run, monkeypatch):  # type: ignore[no-untyped-def]
    same = [replace(toy.finding(1.0, 3), where=where, note="p of equivalence") for where in "abc"]
    other = replace(same[0], where="d", note="one diverged")
    use(monkeypatch, toy.study(conclude=lambda table, size: same))
    assert run("run", "toy", "--size", "small")[1].count("note: p of equivalence\n") == 1
    use(monkeypatch, toy.study(conclude=lambda table, size: [*same, other]))
    out = run("show", "toy", "--size", "small")[1]
    assert "note: one diverged: Adam falls faster. (d)\n" in out
    assert "note: p of equivalence: Adam falls faster. (a); Adam falls faster. (b); " in out


def test_a_control_that_fails_is_status_1(here, run, monkeypatch):  # type: ignore[no-untyped-def]
    failing = [Control("A/A", False, "covers 3 of 4"), Control("chance", True, "at chance")]
    use(monkeypatch, toy.study(control=lambda table, size: failing))
    status, out, _ = run("run", "toy", "--size", "small")
    assert status == 1 and "FAILED" in out and "covers 3 of 4" in out
    assert run("show", "toy", "--size", "small")[0] == 1


def test_a_job_that_raises_is_status_2_and_names_it(here, run, monkeypatch):  # type: ignore[no-untyped-def]
    def measure(job: Any) -> Any:
        if job.specs[0].method == "adam":
            raise ArithmeticError("no slope")
        return toy.Slope()(job)

    use(monkeypatch, toy.study(measure))
    status, _, err = run("run", "toy", "--size", "small")
    assert status == 2 and err.count("\n") == 1
    assert "2 jobs failed, first slope of adam on ridge, seeds 0 to 11: ArithmeticError: no slope" in err
    assert "24 rows are known, 24 are missing in this stage" in run("show", "toy", "--size", "small")[1]


def test_show_without_results_says_what_is_missing_and_makes_nothing(here, run):  # type: ignore[no-untyped-def]
    status, out, _ = run("show", "toy")
    assert status == 0 and not list(here.iterdir())
    assert "0 rows are known, 96 are missing" in out
    assert "adamproof experiment run toy --size default" in out
    assert "Adam falls faster.: not run" in out


def test_json(here, run, monkeypatch):  # type: ignore[no-untyped-def]
    nan = Finding("b", Outcome.INCONCLUSIVE, math.nan, (-math.inf, math.inf), "loss")
    use(monkeypatch, toy.study(conclude=lambda table, size: [nan]))
    status, out, _ = run("show", "toy", "--json")
    assert status == 0 and json.loads(out)["findings"] is None
    whole = json.loads(run("run", "toy", "--size", "small", "--json")[1])
    assert (whole["study"], whole["rows"], whole["missing"]) == ("toy", 60, 0)
    assert whole["findings"][0]["effect"] is None and whole["findings"][0]["interval"] == [None, None]
    assert whole["controls"] == [{"name": "rows", "passed": True, "detail": "60 rows"}]
    listed = json.loads(run("list", "--json")[1])
    assert listed[0]["rows"] == {"small": "60 rows", "default": "48 of 96", "large": "48 of 192"}


def test_list_loads_no_study_where_nothing_is_known(here, run, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(experiment, "studies", lambda: 1 / 0)
    status, out, _ = run("list")
    assert status == 0 and "Which toy falls faster?" in out and out.count("not run") == 3


def test_rows_of_two_versions_are_told_of(here, run, monkeypatch):  # type: ignore[no-untyped-def]
    run("run", "toy", "--size", "small")
    assert "more than one" not in run("show", "toy", "--size", "small")[1]
    monkeypatch.setattr("adamproof.experiments.workers.code", lambda modules: "another")
    assert "note: the rows were made with more than one code" in run("run", "toy")[1]


# -- export ----------------------------------------------------------------------------------------


def test_export_csv_and_parquet(here, run, monkeypatch):  # type: ignore[no-untyped-def]
    odd = {
        "nan": math.nan,
        "inf": -math.inf,
        "none": None,
        "third": 1 / 3,
        "text": 'a,"b"\n🜚',
        "big": 10**30,
    }

    def measure(job: Any) -> Any:
        mixed = [1, "word", None]
        return [odd | {"mixed": mixed[seed % 3], "loss": float(seed)} for seed in job.seeds]

    use(monkeypatch, toy.study(measure, plan=lambda table, size: toy.plan(table, "small")[:12]))
    run("run", "toy")
    for form in ("csv", "parquet"):
        status, out, err = run("export", "toy", "--format", form, "--out", f"rows.{form}")
        assert (status, out, err) == (0, f"12 rows: rows.{form}\n", "")
    with open("rows.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and rows[3]["seed"] == "3" and rows[3]["made.threads"] == "1"
    assert float(rows[0]["value.third"]) == 1 / 3 and rows[0]["value.none"] == ""
    assert rows[0]["value.nan"] == "nan" and rows[0]["value.inf"] == "-inf"
    assert rows[0]["value.text"] == odd["text"] and rows[0]["value.big"] == str(10**30)
    found = pq.read_table("rows.parquet").to_pylist()
    assert math.isnan(found[0]["value.nan"]) and found[0]["value.none"] is None
    assert found[4]["value.loss"] == 4.0 and found[0]["value.third"] == 1 / 3
    assert found[0]["value.big"] == str(10**30)
    assert {row["value.mixed"] for row in found} == {"1", "word", None}
    assert run("export", "toy", "--out", "no/such/x.csv")[2].startswith(
        "adamproof: no/such/x.csv cannot be"
    )
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "take --format csv" in run("export", "toy", "--format", "parquet", "--out", "x")[2]


# -- verdicts, kept and beside the claims ----------------------------------------------------------


def test_verdicts_are_concluded_again_only_when_rows_or_code_change(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    times = 0

    def conclude(table: Any, size: str) -> list[Finding]:
        nonlocal times
        times += 1
        return toy.conclude(table, size)

    def control(table: Any, size: str) -> list[Control]:
        return []

    monkeypatch.setattr(conclude, "__module__", "adamproof.experiments.spec")
    monkeypatch.setattr(control, "__module__", "adamproof.experiments.spec")
    study = toy.study(conclude=conclude, control=control)
    with Store(tmp_path / "rows.sqlite") as store:
        table = toy.compute(store, study)
        state = verdicts.State(table, len(table), (), 2)
        first = verdicts.conclude(study, "small", store, state)
        assert verdicts.conclude(study, "small", store, state) == first and times == 1
        assert first.findings == tuple(toy.conclude(table, "small"))
        less = replace(state, table=table.where(method="adam"))
        verdicts.conclude(study, "small", store, less)
        assert times == 2
        monkeypatch.setattr(verdicts, "code", lambda modules: "edited")
        verdicts.conclude(study, "small", store, less)
        assert times == 3
        monkeypatch.setattr(conclude, "__module__", "__main__")  # a notebook's may have changed
        verdicts.conclude(study, "small", store, less)
        verdicts.conclude(study, "small", store, less)
        assert times == 5


def shown(width: int = 120) -> str:
    text = StringIO()
    console = Console(width=width, file=text)
    for part in measured.table(console):
        console.print(part)
    return text.getvalue()


def test_check_shows_what_was_measured_and_never_fails(here, monkeypatch):  # type: ignore[no-untyped-def]
    assert re.search(r"toy +not run", shown()) and not list(here.iterdir())
    finding = toy.finding(2.0, 1)
    (here / "results").mkdir()
    with Store(here / "results" / "rows.sqlite") as store:
        store.keep("toy", "default", "code", "rows", verdicts.Verdicts((finding,), ()).text)
    assert re.search(r"Adam falls faster\. +supported +measured +\+2 \[\+1, \+3\] loss +ridge", shown())
    assert measured.about("eps-hat") == [finding] and measured.about("kb-step-bound") == []
    (here / "results" / "rows.sqlite").write_text("my recipes")
    before = hashlib.sha256((here / "results" / "rows.sqlite").read_bytes()).digest()
    assert "note: results/rows.sqlite is no store of experiments" in shown(300)
    assert measured.about("eps-hat") == []
    assert hashlib.sha256((here / "results" / "rows.sqlite").read_bytes()).digest() == before


MINE = """
from .study import Study

STUDY = Study(
    name="mine",
    question="Whose?",
    plan=lambda table, size: [],
    conclude=lambda table, size: [],
    beliefs=(),
    measures={},
)
"""


def test_studies_of_the_folder_are_found_with_and_without_loading(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    (tmp_path / "mine.py").write_text(MINE)
    import adamproof.experiments as folder

    monkeypatch.setattr(studies, "_folder", [str(tmp_path)])
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    monkeypatch.setattr(studies, "STUDIES", Registry[Study]("study"))
    assert studies.declared() == {"mine": "Whose?"}
    assert "adamproof.experiments.mine" not in sys.modules
    load = studies.studies.__wrapped__
    assert load()["mine"].question == "Whose?"
    (tmp_path / "other.py").write_text((tmp_path / "mine.py").read_text())
    with pytest.raises(ValueError, match="mine and other are both called mine"):
        load()
    for module in ("mine", "other"):
        sys.modules.pop(f"adamproof.experiments.{module}")


def test_declared_are_the_studies() -> None:
    """A name or a question that is not written out would be missing where no study is loaded."""
    found = {name: study.question for name, study in studies.studies().items()}
    assert studies.declared() == found
    assert provenance.versions().startswith("python ")
