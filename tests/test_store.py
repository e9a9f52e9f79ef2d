"""What was found is kept between runs, and never when it may be stale."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from adamproof import caches
from adamproof.proofs_check import engines, store
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.judge import Judge
from adamproof.proofs_check.store import Store, StoreError
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.theory.catalogue import claims
from adamproof.theory.records import Answer, Finding, Goal, Level, Verdict, Witness

SUBJECTS = builtin()
TORCH, OURS, PAPER = (
    SUBJECTS[n] for n in ("torch.optim:Adam", "adamproof.optimizers:Adam", "paper:adam")
)
PROVED, REFUTED = claims()["first-step-exact"], claims()["step-at-most-lr"]


#: Judges a claim for two subjects with a cache, and prints verdicts and times.
SCRIPT = """
import json, sys
from pathlib import Path
from adamproof.proofs_check.judge import Judge
from adamproof.proofs_check.store import Store
from adamproof.proofs_check.subjects import builtin
from adamproof.theory.catalogue import claims

store, out = Store(Path(sys.argv[1])), {}
for name in ("adamproof.optimizers:Adam", "torch.optim:Adam"):
    found = Judge(remembered=store).finding(claims()["code-is-paper"], builtin()[name])
    out[name] = [str(found.verdict), round(found.seconds, 4)]
store.close()
print(json.dumps(out))
"""


class Counting:
    """The engines, and how often they were asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, goal: Goal) -> Answer:
        self.asked += 1
        return engines.consult(goal)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "findings.sqlite")
    yield found
    found.close()


def again(opened: Store) -> Store:
    """Return what the next process sees."""
    opened.flush()
    return Store(opened.path)


def same(a: Finding, b: Finding) -> bool:
    return replace(a, seconds=0.0) == replace(b, seconds=0.0)


@pytest.mark.parametrize("subject", [TORCH, OURS, PAPER], ids=lambda s: s.id)
@pytest.mark.parametrize("claim", [PROVED, REFUTED], ids=lambda c: c.id)
def test_what_was_found_is_found_again_without_judging(opened, claim, subject) -> None:  # type: ignore[no-untyped-def]
    first = Judge(remembered=opened).finding(claim, subject)
    decide = Counting()
    second_store = again(opened)
    fresh_subject = replace(subject)  # not lifted yet
    second = Judge(decide=decide, remembered=second_store).finding(claim, fresh_subject)
    second_store.close()
    assert same(second, first)
    assert abs(second.seconds - first.seconds) < 1e-4  # those of the first time
    assert decide.asked == 0
    assert "lifted" not in vars(fresh_subject)
    assert same(first, Judge().finding(claim, subject))


def test_a_changed_line_of_an_optimizer_is_judged_anew(opened: Store, tmp_path: Path) -> None:
    """The whole project is copied, judged, one line is changed, and judged again."""
    root = Path(store.__file__).parents[1]
    package = tmp_path / "copy" / "adamproof"
    for folder in ("", "theory", "optimizers", "proofs_check", "counterexamples", "experiments"):
        (package / folder).mkdir(parents=True, exist_ok=True)
        for file in (root / folder).glob("*.*"):
            if file.is_file():
                (package / folder / file.name).write_bytes(file.read_bytes())

    def judged() -> dict[str, tuple[str, float]]:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "kept.sqlite")]
        here = {"PYTHONPATH": str(package.parent), "PATH": ""}
        done = subprocess.run(
            command, cwd=package.parent, capture_output=True, text=True, env=here, check=True
        )
        out: dict[str, tuple[str, float]] = json.loads(done.stdout)
        return out

    ours, torchs = "adamproof.optimizers:Adam", "torch.optim:Adam"
    first, second = judged(), judged()
    assert first == second  # the times too: nothing was judged
    file = package / "optimizers" / "adam.py"
    text = file.read_text(encoding="utf-8")
    assert text.count("[-lr / c for") == 1
    file.write_text(text.replace("[-lr / c for", "[-2 * lr / c for"), encoding="utf-8")
    third = judged()
    assert first[ours][0] == "proved"
    assert third[ours][0] == "refuted"
    assert third[torchs] == first[torchs]


def test_the_key_tells_apart_what_a_finding_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(claim=PROVED, subject: Subject | None = TORCH, device: str = "cpu") -> str | None:  # type: ignore[no-untyped-def]
        return store.finding_key(claim, subject, device)

    plain = key()
    assert plain is not None
    assert plain == key()
    others = [key(REFUTED), key(subject=OURS), key(subject=PAPER), key(subject=None)]
    assert len({plain, *others}) == 5
    user = Subject("mine:Adam", "user", Recipe(torch.optim.Adam, {}), "adam")
    assert key(subject=user) is None  # what its code depends on is not known
    for changed in ("_judge_source", "_machine", "_code"):
        with monkeypatch.context() as patch:
            patch.setattr(store, changed, lambda *_: "changed")
            assert key() != plain, changed
    rule = PAPER.rule
    rules = [store.rule_key(PROVED, rule), store.rule_key(REFUTED, rule),
             store.rule_key(PROVED, replace(rule, domains={"q": "positive"})),
             store.rule_key(PROVED, SUBJECTS["paper:adamw"].rule)]  # fmt: skip
    assert len(set(rules)) == 4


def test_every_source_file_is_in_the_hash(tmp_path: Path) -> None:
    def hashed() -> str:
        store._source.cache_clear()
        return store._source(tmp_path)

    (tmp_path / "a.py").write_text("x = 1", encoding="utf-8")
    (tmp_path / "deep").mkdir()
    seen = [hashed()]
    (tmp_path / "a.py").write_text("x = 2", encoding="utf-8")
    seen.append(hashed())
    (tmp_path / "deep" / "b.py").write_text("", encoding="utf-8")
    seen.append(hashed())
    (tmp_path / "deep" / "b.py").rename(tmp_path / "deep" / "c.py")
    seen.append(hashed())
    store._source.cache_clear()
    assert len(set(seen)) == 4


def test_what_is_undecided_is_not_kept(opened: Store) -> None:
    def knows_nothing(goal: Goal) -> Answer:
        return Answer(Verdict.UNDECIDED, reason="budget: out of time")

    found = Judge(decide=knows_nothing, remembered=opened).finding(PROVED, PAPER)
    assert found.verdict is Verdict.UNDECIDED
    kept = again(opened)
    assert Judge(remembered=kept).finding(PROVED, PAPER).verdict is Verdict.PROVED
    kept.close()


DAMAGED = ["{", "[]", "{}", '{"verdict": "certain"}', '{"answers": null}', None, b"\xff"]
#: A row that is whole but for its witness.
WITNESSED = {"claim": PROVED.id, "subject": PAPER.id, "verdict": "refuted", "level": "exact",
             "reason": "", "statement": "", "code_hash": "", "seconds": 0.0, "answers": [],
             "applies": True, "proved": False, "ran": False}  # fmt: skip
DAMAGED += [
    json.dumps(WITNESSED | {"witness": {"point": point, "excess": "1", "replayed": ""}})
    for point in ([1], {"g1": "1/0"}, {"g1": "x"}, None)
]


@pytest.mark.parametrize("row", DAMAGED)
def test_a_damaged_row_is_judged_anew(opened: Store, row: str | bytes | None) -> None:
    for claim in (PROVED, REFUTED):
        Judge(remembered=opened).finding(claim, PAPER)
    opened.flush()
    with sqlite3.connect(opened.path) as db:
        changed = db.execute("UPDATE found SET row = ?", (row,)).rowcount
    db.close()
    assert changed == 4
    kept = again(opened)
    for claim in (PROVED, REFUTED):
        assert same(Judge(remembered=kept).finding(claim, PAPER), Judge().finding(claim, PAPER))
    kept.close()


def test_a_row_of_another_claim_is_not_taken(opened: Store) -> None:
    judge = Judge(remembered=opened)
    key = store.finding_key(REFUTED, PAPER, "cpu")
    assert key is not None
    opened.put(key, store.finding_row(judge.finding(PROVED, PAPER)))
    assert same(judge.finding(REFUTED, PAPER), Judge().finding(REFUTED, PAPER))


def test_files_that_change_while_it_runs_are_not_trusted(
    opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code that runs is then not the code that the key is about."""
    opened.put("before", {"n": 1})
    opened.flush()
    opened.put("after", {"n": 1})
    monkeypatch.setattr(store, "STARTED", 0.0)  # every file is younger
    opened.flush()
    with pytest.raises(StoreError, match="changed after it was started; judging without the cache"):
        Store(opened.path)
    monkeypatch.undo()
    kept = again(opened)
    assert (kept.get("before"), kept.get("after")) == ({"n": 1}, None)
    kept.close()


def test_a_file_that_is_no_cache_is_left_as_it_is(tmp_path: Path) -> None:
    for path in (tmp_path / "letters.sqlite", tmp_path / "other.sqlite", tmp_path / "a" / "b.sqlite"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("dear diary\n" * 100, encoding="utf-8")
        with pytest.raises(StoreError, match=r"cannot be used .*; delete it, or set ADAMPROOF_CACHE"):
            Store(path)
        assert path.read_text(encoding="utf-8") == "dear diary\n" * 100
    with pytest.raises(StoreError, match="cannot be used"):
        Store(tmp_path / "letters.sqlite" / "findings.sqlite")


def test_rows_that_nobody_asks_for_are_forgotten(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    opened.put("old", {"a": 1})
    opened.put("used", {"a": 2})
    opened.flush()
    now = store.time.time()
    later = again(opened)
    monkeypatch.setattr(later, "_today", later._today + 20)
    assert later.get("used") == {"a": 2}
    later.close()
    monkeypatch.setattr(store.time, "time", lambda: now + 86_400 * (store.KEPT_DAYS + 5))
    last = again(opened)
    assert last.get("used") == {"a": 2}
    assert last.get("old") is None
    last.close()


def test_two_processes_share_the_file(opened: Store) -> None:
    other = Store(opened.path)
    for n in range(50):
        opened.put(f"a{n}", {"n": n})
        other.put(f"b{n}", {"n": n})
        opened.flush()
        other.flush()
    other.close()
    last = again(opened)
    assert all(last.get(f"{who}{n}") == {"n": n} for who in "ab" for n in range(50))
    last.close()


def test_a_file_that_is_lost_on_the_way_does_not_stop_a_check(opened: Store) -> None:
    opened._db.execute("DROP TABLE found")
    opened.put("a", {"n": 1})
    opened.flush()
    assert opened.get("a") == {"n": 1}


def test_a_finding_survives_the_journey() -> None:
    witness = Witness({"g1": Fraction(3, 7)}, "≈ 1", "2.5 (float64, cpu)")
    answer = Answer(Verdict.REFUTED, Level.EXACT, "search", "why", witness)
    found = Finding("c", "s", Verdict.REFUTED, Level.EXACT, "reason", witness, "All.", "abc", 0.25,
                    (answer, Answer(Verdict.UNDECIDED, reason="budget")))  # fmt: skip
    row = json.loads(json.dumps(store.finding_row(found)))
    assert store.finding_of(row) == found


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(caches.VARIABLE, str(tmp_path))
    assert store.default_path() == tmp_path / "findings.sqlite"
    monkeypatch.setenv(caches.VARIABLE, "")
    assert store.default_path() is None
    monkeypatch.delenv(caches.VARIABLE)
    assert "adamproof" in str(store.default_path())
