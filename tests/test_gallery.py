"""`reproduce all`: a page of every counterexample, kept where the same code made it."""

import io
import json
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from rich.console import Console

from adamproof import gallery, reproduce
from adamproof.counterexamples.catalogue import breaking, catalogue
from adamproof.counterexamples.record import Asked
from adamproof.errors import UsageError
from adamproof.proofs_check import ledger
from adamproof.theory.catalogue import claims

NAMES = ["reddi-online", "reddi-period"]
SHORT = Asked(steps=300)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two counterexamples are enough to see what becomes of all."""
    two = MappingProxyType({name: catalogue()[name] for name in NAMES})
    monkeypatch.setattr(gallery, "catalogue", lambda: two)


def test_every_refuted_claim_of_four_families_has_a_file_that_breaks_it() -> None:
    """The belief is on the page of claims; the object that breaks it is one command away."""
    broken = {id for example in catalogue().values() for id in example.refutes}
    refuted = {id for id, rows in ledger.load().items()
               if any(row["verdict"] == "refuted" for row in rows.values())}  # fmt: skip
    assert broken <= refuted
    families = ("step size", "weight decay", "stability", "sharpness", "precision")
    assert {id for id in refuted if claims()[id].family in families} <= broken
    for id in broken:
        assert all(id in catalogue()[name].refutes for name in breaking(id))
        assert breaking(id)


def made(out: Path, asked: Asked = SHORT) -> tuple[int, str]:
    said = io.StringIO()
    return gallery.everything(out, asked, Console(file=said, width=200)), said.getvalue()


def test_the_page_shows_each_with_its_picture(tmp_path: Path) -> None:
    status, said = made(tmp_path / "a" / "b")
    page = (tmp_path / "a" / "b" / "index.html").read_text(encoding="utf-8")
    assert status == 0
    assert said.splitlines()[0] == "reddi-online: refuted"
    for name in NAMES:
        example = catalogue()[name]
        assert f'<article id="{name}">' in page
        assert example.repair in page
        assert str(example.source).replace("&", "&amp;") in page
        assert (tmp_path / "a" / "b" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for target in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert (tmp_path / "a" / "b" / target).exists(), target


def test_what_the_same_code_made_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    before = (tmp_path / "index.html").read_text(encoding="utf-8")
    (tmp_path / "reddi-period.json").write_text('{"verdict": "ref', encoding="utf-8")  # a killed run
    judged = []

    def watched(example: Any, asked: Asked) -> Any:
        judged.append(example.id)
        return reproduce.judge(example, asked)

    monkeypatch.setattr(gallery, "judge", watched)
    assert made(tmp_path)[1].startswith("reddi-online: refuted (kept)")
    assert judged == ["reddi-period"]
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == before
    (tmp_path / "reddi-online.png").unlink()
    made(tmp_path)
    assert judged == ["reddi-period", "reddi-online"]
    made(tmp_path, Asked(steps=301))  # something else was asked
    assert judged[2:] == NAMES
    monkeypatch.setattr(gallery, "_made_by", lambda asked: "other code")
    made(tmp_path)
    assert judged[4:] == NAMES


def test_one_that_is_undecided_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adamproof.counterexamples.reddi_period.RUN_STEPS", 100)
    status, said = made(tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert status == 1
    assert "reddi-period: undecided" in said
    assert '<p class="undecided"><b>undecided</b>:' in page
    assert "not within 0.01" in page


def test_an_interrupt_keeps_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(example: Any, asked: Asked) -> Any:
        if example.id == "reddi-period":
            raise KeyboardInterrupt
        return reproduce.judge(example, asked)

    monkeypatch.setattr(gallery, "judge", stopped)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path)
    assert (
        json.loads((tmp_path / "reddi-online.json").read_text(encoding="utf-8"))["verdict"] == "refuted"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["reddi-online.json", "reddi-online.png"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--out .*file/x cannot be written"):
        made(tmp_path / "file" / "x")
    with pytest.raises(UsageError, match=r"needs a folder to write to: --out DIR"):
        reproduce.run_all(None)
    with pytest.raises(UsageError, match=r"--seeds must be at least 1, got 0"):
        reproduce.run_all(tmp_path, seeds=0)
