"""The store of experiments: exact, whole or absent, never another program's file."""

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamproof.experiments import provenance
from adamproof.experiments.provenance import Provenance, versions
from adamproof.experiments.spec import Spec
from adamproof.experiments.store import Store, read, written
from adamproof.experiments.store_file import StoreError

MADE = Provenance("abc", versions(), 1, "cpu", 3.0)
SPECS = tuple(Spec("loss", "digits", "adam", seed, (("lr", "10^-5/2"),)) for seed in range(3))
ROWS = tuple({"loss": seed / 3, "diverged": None} for seed in range(3))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "rows.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as opened:
        yield opened


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def exact(row: object) -> str:
    """Tells −0.0 from 0.0, and 1 from 1.0 and True."""
    return repr(row)


values = st.none() | st.floats() | st.integers() | st.text() | st.booleans()


@given(st.dictionaries(st.text(), values))
def test_a_row_comes_back_as_it_was(row):  # type: ignore[no-untyped-def]
    assert exact(read(written(row))) == exact(row)


def test_rows_of_every_kind_come_back_from_the_file(path):  # type: ignore[no-untyped-def]
    row = {"nan": float("nan"), "inf": -float("inf"), "zero": -0.0, "λ_max": 0.1 + 0.2, "none": None,
           "big": 10**40, "one": 1, "float": 1.0, "text": "Höhe 'quoted'\n\0 🜚"}  # fmt: skip
    spec = Spec("m", "tâche", "méthode", 2**70, (("lr", "10^-5/2"), ("'", '"')))
    with Store(path) as store:
        store.add([spec], [row], MADE)
    with Store(path) as store:
        assert exact(dict(store.rows([spec, SPECS[0]]))) == exact({spec: row})


def test_fields_are_readable_without_this_program(store, path):  # type: ignore[no-untyped-def]
    store.add(SPECS, ROWS, MADE)
    with sqlite3.connect(path) as db:
        found = db.execute("SELECT measure, task, method, seed, options, seconds FROM rows").fetchall()
    db.close()
    assert sorted(found)[0] == ("loss", "digits", "adam", "0", '[["lr", "10^-5/2"]]', 1.0)
    assert store.how(SPECS)[SPECS[2]] == {
        "code": "abc", "versions": versions(), "threads": 1, "device": "cpu", "seconds": 1.0
    }  # fmt: skip


def test_more_rows_than_one_query_names(store):  # type: ignore[no-untyped-def]
    many = [Spec("m", "t", "a", seed) for seed in range(1203)]
    store.add(many, [{"x": s.seed} for s in many], MADE)
    assert {s.seed: row["x"] for s, row in store.rows(reversed(many)).items()} == {
        i: i for i in range(1203)
    }
    assert list(store.rows(many)) == sorted(many)


def test_what_is_known_stays(store):  # type: ignore[no-untyped-def]
    store.add(SPECS, ROWS, MADE)
    store.add(SPECS, [{"loss": 99.0}] * 3, MADE)
    assert list(store.rows(SPECS).values()) == list(ROWS)


@pytest.mark.parametrize("row", [{"x": [1]}, {"x": object()}, {1: 2.0}], ids=["list", "object", "key"])
def test_a_batch_with_a_value_that_is_not_plain_leaves_nothing(store, row):  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="a row holds numbers, texts and None"):
        store.add(SPECS, [*ROWS[:2], row], MADE)
    assert not store.rows(SPECS)


def test_fingerprint_moves_with_a_value_and_not_with_the_order(path, store):  # type: ignore[no-untyped-def]
    store.add(SPECS, ROWS, MADE)
    with Store(path.with_name("other")) as other:
        other.add(SPECS[::-1], ROWS[::-1], MADE)
        assert list(other.rows(SPECS)) == list(SPECS)
        assert other.fingerprint(SPECS) == store.fingerprint(SPECS[::-1])
        more = Spec("m", "t", "a", 0)
        other.add([more], [{"x": 0.0}], MADE)
        store.add([more], [{"x": -0.0}], MADE)
        assert other.fingerprint([more]) != store.fingerprint([more])


# -- files that are refused ------------------------------------------------------------------------


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    db.close()


def newer(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()


def other_tables(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE rows ADD COLUMN mood TEXT")
    db.close()


def filled(path: Path) -> bytearray:
    many = [Spec("m", "t", "a", seed) for seed in range(500)]
    with Store(path) as store:
        store.add(many, [{"x": s.seed} for s in many], MADE)
    return bytearray(path.read_bytes())


def truncated(path: Path) -> None:
    whole = filled(path)
    path.write_bytes(whole[: len(whole) // 2])


def overwritten(path: Path) -> None:
    whole = filled(path)
    whole[4096 * 5 : 4096 * 7] = os.urandom(8192)
    path.write_bytes(whole)


def text(path: Path) -> None:
    path.write_text("loss,seed\n0.1,3\n")


REFUSED = {foreign: "is no store", text: "is no store", newer: "newer adamproof", truncated: "damaged",
           overwritten: "damaged", other_tables: "damaged"}  # fmt: skip


@pytest.mark.parametrize("make, told", REFUSED.items(), ids=lambda v: getattr(v, "__name__", ""))
def test_a_file_that_is_no_whole_store_is_refused_and_left_alone(path, make, told):  # type: ignore[no-untyped-def]
    path.parent.mkdir()
    make(path)
    before = digest(path)
    with pytest.raises(StoreError, match=told) as refused:
        Store(path)
    assert digest(path) == before
    assert str(refused.value).count("\n") == 0 and str(path) in str(refused.value)


def test_a_damaged_row_is_one_sentence(path, store):  # type: ignore[no-untyped-def]
    store.add(SPECS, ROWS, MADE)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE rows SET row = '{' WHERE seed = '1'")
    db.close()
    with pytest.raises(StoreError, match="damaged"):
        store.rows(SPECS)


def test_a_full_disk_loses_nothing(path):  # type: ignore[no-untyped-def]
    many = [Spec("m", "t", "a", seed) for seed in range(2000)]
    with Store(path) as store:
        store.add(SPECS, ROWS, MADE)
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages + 3}")
        with pytest.raises(StoreError, match="no room left"):
            store.add(many, [{"x": s.seed} for s in many], MADE)
        assert not store.rows(many)
    with Store(path) as store:
        assert list(store.rows(SPECS).values()) == list(ROWS)
        assert not store.rows(many)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match="name a folder that can be written"):
        Store(tmp_path / "results" / "rows.sqlite")


def test_a_read_only_file_is_one_sentence(path, store):  # type: ignore[no-untyped-def]
    store.add(SPECS[:1], ROWS[:1], MADE)
    store._db.execute("PRAGMA query_only = 1")  # what a file without permission says, also to root
    with pytest.raises(StoreError, match="cannot be used: attempt to write a readonly database"):
        store.add(SPECS[1:], ROWS[1:], MADE)
    assert list(store.rows(SPECS)) == [SPECS[0]]


# -- several processes -----------------------------------------------------------------------------

#: Claims three specifications, tells so, and waits to be killed.
CLAIMER = """
import sys, time
from pathlib import Path
from adamproof.experiments.spec import Spec
from adamproof.experiments.store import Store
store = Store(Path(sys.argv[1]))
specs = [Spec("loss", "digits", "adam", seed, (("lr", "10^-5/2"),)) for seed in range(3)]
print(len(store.claim(specs)), flush=True)
time.sleep(60)
"""


def test_a_claim_holds_while_its_process_lives_and_no_longer(path, store):  # type: ignore[no-untyped-def]
    with subprocess.Popen([sys.executable, "-c", CLAIMER, path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"3\n"
        assert store.claim(SPECS[1:2]) is None
        assert store.claim([Spec("m", "t", "a", 0)])  # what nobody else is at
        other.kill()
    assert store.claim(SPECS) == SPECS
    assert len(list(path.parent.glob("*.lock"))) == 1  # ours


def test_a_claim_returns_what_is_not_finished(path, store):  # type: ignore[no-untyped-def]
    with Store(path) as other:
        assert other.claim(SPECS) == SPECS
        assert store.claim(SPECS) is None
        other.add(SPECS[:2], ROWS[:2], MADE)
        assert store.claim(SPECS[:2]) == ()
        other.release()
        assert store.claim(SPECS) == SPECS[2:]
        assert other.claim(SPECS) is None
    assert store.claim(SPECS) == SPECS[2:]


def test_closing_gives_back_and_leaves_one_file(path):  # type: ignore[no-untyped-def]
    with Store(path) as one:
        one.claim(SPECS)
    assert [p.name for p in path.parent.iterdir()] == ["rows.sqlite"]
    with Store(path) as two:
        assert two._db.execute("SELECT count(*) FROM claims").fetchone() == (0,)


def test_verdicts_are_kept(path, store):  # type: ignore[no-untyped-def]
    assert store.kept("generalisation", "small") is None
    store.keep("generalisation", "small", "c", "r", "{}")
    store.keep("generalisation", "small", "c", "r2", "[]")
    with Store(path) as other:
        assert other.kept("generalisation", "small") == ("c", "r2", "[]")


def test_code_moves_with_what_is_imported(monkeypatch):  # type: ignore[no-untyped-def]
    """`store` imports `presence`, and `store_file` does not."""
    names = ("adamproof.experiments.store_file", "adamproof.experiments.store")
    real = provenance._read
    before = [provenance.code([name]) for name in names]

    def edited(module: str) -> tuple[str, tuple[str, ...]]:
        source, imported = real(module)
        return source + "#" * (module == "adamproof.experiments.presence"), imported

    monkeypatch.setattr(provenance, "_read", edited)
    after = [provenance.code([name]) for name in names]
    assert before[0] == after[0] and before[1] != after[1]


def test_code_is_of_this_package_alone():  # type: ignore[no-untyped-def]
    assert provenance.code(["__main__", "json", "numpy"]) == provenance.code([])
