"""The words of the project: claim, goal, step, case, witness, verdict, assurance level.

A *claim* is a sentence with a source.  Asked about a rule, it returns a *case*: the *steps* that
would prove it (each a *goal* for an engine), the runs among which a refutation is looked for, and
a near-miss that the same machinery must refute.  The judge turns a case into a *finding*.

A leaf: it imports neither torch nor SymPy.  Formulas are SymPy expressions, held but not used here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from .interval import Interval

if TYPE_CHECKING:
    from .rule import Rule

Expr = Any  # a SymPy expression; this module does not import SymPy
Point = Mapping[str, Fraction]


class Verdict(StrEnum):
    """What was found out about a claim for one subject."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    MEASURED = "measured"  # held on every run that was tried; runs prove nothing
    NOT_APPLICABLE = "not applicable"


class Level(StrEnum):
    """How strong the evidence is, strongest first; a derivation has the level of its weakest step."""

    EXACT = "exact"  # identity, sign certificate or rational replay by the small checker
    INTERVAL = "interval"  # rigorous enclosure (Arb)
    SMT = "smt"  # z3: the negation is unsatisfiable
    CAS = "cas"  # SymPy alone
    SAMPLED = "sampled"  # runs at chosen points, no proof

    @staticmethod
    def weakest(levels: Iterable[Level]) -> Level:
        """Return the weakest of the levels; of no evidence at all, ``SAMPLED``."""
        order = list(Level)
        return max(levels, key=order.index, default=Level.SAMPLED)


@dataclass(frozen=True)
class Source:
    """Where a claim comes from: authors, year, arXiv version, and the place in it."""

    authors: str
    year: int | None
    title: str
    arxiv: str = ""
    where: str = ""

    def __call__(self, where: str) -> Source:
        """Return the same source with the theorem, section or equation named."""
        return Source(self.authors, self.year, self.title, self.arxiv, where)

    def __str__(self) -> str:
        year = f" ({self.year})" if self.year else ""
        parts = [f"{self.authors}{year}, {self.title}"]
        parts += [f"arXiv {self.arxiv}"] if self.arxiv else []
        return ", ".join(parts + ([self.where] if self.where else []))


# -- goals: what an engine is asked -------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """``lhs = rhs`` wherever both are defined, for all values of the symbols in their domains."""

    lhs: Expr
    rhs: Expr
    domains: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Holds:
    """``relation`` (>=, >, <=, <, !=) follows from ``given``, for all values in the domains.

    Powers such as beta**t are only known to be powers: 0 <= beta**t <= beta.  ``shift`` names a
    substitution by non-negative symbols that makes a sign certificate visible (beta = 1/(1+s)); it
    must be onto the domain, and says with which values it is.
    """

    relation: Expr
    given: tuple[Expr, ...] = ()
    domains: Mapping[str, str] = field(default_factory=dict)
    shift: Mapping[Expr, Expr] = field(default_factory=dict)


@dataclass(frozen=True)
class Ground:
    """A relation between closed numbers: rational ones, and roots by enclosure."""

    relation: Expr


@dataclass(frozen=True)
class Analysis:
    """An equation of limits, sums or integrals that only the computer algebra system decides.

    ``lhs`` is an unevaluated ``Limit``, ``Sum`` or ``Integral``, or a sum of such.  ``because`` says
    why no stronger engine decides it.
    """

    lhs: Expr
    rhs: Expr
    because: str = ""


@dataclass(frozen=True)
class Every:
    """``excess(point) <= 0`` at each of finitely many points, all of which are tried.

    For statements about floating-point numbers, of which there are finitely many, and about finite
    lists.  ``says`` is the statement as a formula in words; a positive excess at a point refutes it.
    ``excess`` is a pure function, in rationals or enclosures.
    """

    says: str
    excess: Callable[[Point], Fraction | Interval]
    over: tuple[Point, ...]


Goal = Identity | Holds | Ground | Analysis | Every


@dataclass(frozen=True)
class Step:
    """One line of a derivation: what is said, the goal that checks it, and why it is taken."""

    text: str
    goal: Goal
    why: str


# -- runs: where a refutation is looked for ------------------------------------------------------


class Trace(Protocol):
    """One run of a rule: ``x[t]`` and ``state[name][t]`` for t = 0 … T, as enclosures."""

    x: list[Interval]
    state: dict[str, list[Interval]]


class Run(Protocol):
    """Runs a rule: exactly on paper, or in floating point on the real optimizer."""

    def __call__(self, point: Point, g: Sequence[Fraction | Interval], x: Fraction = ..., /) -> Trace:
        """Return the trace of ``len(g)`` steps from ``x`` with hyper-parameters from ``point``."""
        ...


@dataclass(frozen=True)
class Runs:
    """Runs on which a statement can be seen to fail.

    ``excess(run, point)`` returns by how much the statement is violated at that point (positive:
    violated).  One function serves the search in exact arithmetic, the replay on the real
    optimizer and the random tests.  ``over`` lists points from small to large.
    """

    excess: Callable[[Run, Point], Interval]
    over: Iterable[Point]


@dataclass(frozen=True)
class Case:
    """What a claim says of one rule.

    Attributes:
        steps: a derivation; with none the claim can only be refuted.
        control: a near-miss of the statement, which the engines must refute.
        runs: where a refutation is looked for, whether or not there are steps.
        statement: the claim itself as one goal, when it is about numbers and not about runs; a
            refutation of it refutes the claim.
        trial: name of what the judge does with the real optimizer (``proofs_check.trials``) when
            the claim is about how code runs on a machine; the verdict is then at best *measured*.
    """

    steps: tuple[Step, ...] = ()
    control: Goal | None = None
    runs: Runs | None = None
    statement: Goal | None = None
    trial: str = ""


@dataclass(frozen=True)
class Claim:
    """One statement to be judged, with everything a reader needs to weigh it."""

    id: str
    family: str
    says: str
    statement: str
    source: Source
    judge: Callable[[Rule], Case | None]
    hypotheses: str = ""
    repaired_by: str = ""
    #: ``rules``: judged for every rule.  ``papers``: for a paper's rule only, as it speaks of more
    #: than one choice of its functions, and code makes one.  ``mathematics``: judged once.
    about: str = "rules"

    @property
    def home(self) -> str:
        """The file that states and proves the claim."""
        return self.judge.__module__.replace("adamproof.", "").replace(".", "/") + ".py"


@dataclass(frozen=True)
class Witness:
    """A point at which a statement fails, and by how much, exactly and on the real optimizer."""

    point: Mapping[str, Fraction]
    excess: str
    replayed: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold; rationals are strings such as ``"3/4"``."""
        point = {name: str(value) for name, value in self.point.items()}
        return {"point": point, "excess": self.excess, "replayed": self.replayed}


@dataclass(frozen=True)
class Answer:
    """What an engine says of a goal; anything but a proof or a checked witness is undecided.

    A trial answers with *measured*, and says in ``reason`` what it measured.
    """

    verdict: Verdict
    level: Level | None = None
    engine: str = ""
    reason: str = ""
    witness: Witness | None = None


@dataclass(frozen=True)
class Finding:
    """A claim judged for one subject."""

    claim: str
    subject: str
    verdict: Verdict
    level: Level | None = None
    reason: str = ""
    witness: Witness | None = None
    statement: str = ""
    code_hash: str = ""
    seconds: float = 0.0
    answers: tuple[Answer, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the row that ``adamproof check --json`` prints."""
        return {
            "claim": self.claim,
            "subject": self.subject,
            "verdict": str(self.verdict),
            "level": str(self.level) if self.level else None,
            "reason": self.reason,
            "witness": self.witness.as_dict() if self.witness else None,
            "statement": self.statement,
            "code_hash": self.code_hash,
            "seconds": round(self.seconds, 4),
        }
