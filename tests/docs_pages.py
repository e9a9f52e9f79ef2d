"""The pages of docs/ that are generated: ``python tests/test_docs.py`` writes them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from adamproof.counterexamples.catalogue import breaking
from adamproof.proofs_check import ledger, report
from adamproof.proofs_check.judge import why_cas
from adamproof.theory.catalogue import claims
from adamproof.theory.faithful import paper_of
from adamproof.theory.records import Analysis, Case, Claim, Every, Goal, Identity, Level, Verdict
from adamproof.theory.rules import RULES

ROOT = Path(__file__).parents[1]
_MARKS = {"proved": "✓", "refuted": "✗", "measured": "~", "undecided": "?"}


def cases(claim: Claim) -> dict[str, Case]:
    """Return what a claim says, by the paper's rule."""
    rules = RULES if claim.about != "mathematics" else ["adam"]
    found = {name: claim.judge(paper_of(name)) for name in rules}
    return {name: case for name, case in found.items() if case is not None}


def claims_page() -> str:
    """Return docs/claims.md."""
    return "\n".join(_claims_lines()) + "\n"


def _claims_lines() -> Iterator[str]:
    rows, known = ledger.load(), claims()
    yield "# The claims"
    yield ""
    yield ("What people say about Adam and its relatives, and what is true.  This page is generated "
           "from the claims and the ledger; `adamproof explain ID` prints a claim with its derivation "
           "or witness.")  # fmt: skip
    yield ""
    yield "| family | claims | proved | refuted | measured | undecided |"
    yield "|---|---|---|---|---|---|"
    families = list(dict.fromkeys(c.family for c in known.values()))
    for family in families:
        ids = [c.id for c in known.values() if c.family == family]
        counts = Counter(row["verdict"] for id in ids for row in rows.get(id, {}).values())
        told = " | ".join(str(counts[v]) for v in ("proved", "refuted", "measured", "undecided"))
        yield f"| [{family}](#{family.lower().replace(' ', '-')}) | {len(ids)} | {told} |"
    for family in families:
        yield f"\n## {family}"
        for claim in known.values():
            if claim.family == family:
                yield from _claim_lines(claim, rows.get(claim.id, {}))


def _claim_lines(claim: Claim, rows: dict[str, dict[str, str | None]]) -> Iterator[str]:
    yield f"\n### {claim.id}\n"
    yield f"> {_escaped(claim.says)}\n"
    yield f"{_escaped(claim.statement)}"
    if claim.hypotheses:
        yield f"\n*Hypotheses*: {_escaped(claim.hypotheses)}"
    yield ""
    kinds: dict[tuple[str, str], list[str]] = {}
    for subject, row in rows.items():
        kinds.setdefault((str(row["verdict"]), str(row["level"] or "")), []).append(subject)
    for (verdict, level), subjects in kinds.items():
        who = report.grouped(subjects, 12).replace("\n", "; ")
        yield f"- {_MARKS[verdict]} **{verdict}** ({level}) for {_escaped(who)}"
    if claim.repaired_by:
        yield f"- what is true instead: [{claim.repaired_by}](#{claim.repaired_by})"
    if broken := breaking(claim.id):
        names = ", ".join(f"[{name}](../counterexamples/{name.replace('-', '_')}.py)" for name in broken)
        yield f"- watch it fail: {names}"
    yield f"- source: {_escaped(str(claim.source))}"
    yield f"- stated and proved in [{claim.home}](../{claim.home})"


def _escaped(text: str) -> str:
    for c in "\\*_|<>":
        text = text.replace(c, "\\" + c)
    return text


# -- trust -----------------------------------------------------------------------------------------

BEGIN, END = "<!-- generated: {} -->", "<!-- end -->"


def trust_block(name: str) -> str:
    """Return a generated part of docs/trust.md."""
    return TRUST[name]()


def _table(*rows: tuple[object, ...]) -> str:
    head, *body = rows
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *body)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _levels() -> str:
    rows = [row for subjects in ledger.load().values() for row in subjects.values()]
    counts = Counter((row["verdict"], row["level"]) for row in rows)
    levels = [str(n) for n in Level if any(k[1] == n for k in counts)]
    verdicts = [str(v) for v in Verdict if any(k[0] == v for k in counts)]
    body = [(v, *(counts[v, n] for n in levels)) for v in verdicts]
    return _table(("findings", *levels), *body)


def _sizes() -> str:
    files = {
        "theory/identity.py": "identities and signs: polynomials re-expanded over the rationals",
        "theory/interval.py": "intervals with rational ends, roots enclosed",
        "theory/evaluate.py": "a formula evaluated at a point",
        "theory/records.py": "what a claim and a verdict are",
        "theory/rule.py": "what a rule is, and how it is run",
        "proofs_check/judge.py": "what counts as proved and as refuted",
        "proofs_check/engines.py": "what is asked of which engine, and how it is doubted",
        "proofs_check/lift.py": "how a rule is read out of code",
        "proofs_check/replay.py": "how a rule is held against the real optimizer",
    }
    sizes = [(f"[{f}](../{f})", len((ROOT / f).read_text(encoding="utf-8").splitlines()), why)
             for f, why in files.items()]  # fmt: skip
    return _table(("file", "lines", "what is believed of it"), *sizes)


def _steps() -> str:
    counts: Counter[str] = Counter()
    seen = set()
    for claim in claims().values():
        for case in cases(claim).values():
            for step in case.steps:
                told = (claim.id, step.text, _said(step.goal))
                if told not in seen:
                    seen.add(told)
                    counts[type(step.goal).__name__] += 1
    return _table(("kind of step", "how many different ones"), *sorted(counts.items()))


def _said(goal: Goal) -> object:
    """Return what a goal says, as something that can be compared."""
    if isinstance(goal, Every):
        return goal.says
    return (goal.lhs, goal.rhs) if isinstance(goal, Identity | Analysis) else goal.relation


def _cas() -> str:
    rows = ledger.load()
    found = []
    for claim in claims().values():
        if any(row["level"] == "cas" for row in rows.get(claim.id, {}).values()):
            why = next(filter(None, (why_cas(case) for case in cases(claim).values())), "?")
            found.append((claim.id, why))
    return _table(("claim", "why no stronger level"), *found)


TRUST = {"levels": _levels, "lines": _sizes, "steps": _steps, "cas": _cas}
