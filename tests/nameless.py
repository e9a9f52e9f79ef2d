"""Variants of our optimizers whose rule has no name, and so no row in the ledger, with that rule."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adamproof.proofs_check import engines
from adamproof.theory import rules, rules_relatives
from adamproof.theory import symbols as sym
from adamproof.theory.faithful import aligned, lines_of, unclamped
from adamproof.theory.records import Level, Verdict
from adamproof.theory.rule import Rule

HEAVY, INSIDE, CENTERED = {"momentum": 0.9}, {"eps_inside": True}, {"centered": True}


def averaged_nesterov() -> Rule:
    """Nesterov's form with 1 - μ for 1 - τ."""
    rule = rules.sgd(momentum=True, nesterov=True, dampening=True)
    (only,) = rule.regimes
    lines = {name: line.xreplace({sym.tau: sym.mu}) for name, line in only.new.items()}
    return replace(rule, regimes=(replace(only, new=lines),))


#: Class, options, the rule that it should run.
NAMELESS: tuple[tuple[str, dict[str, Any], Callable[[], Rule]], ...] = (
    ("SGD", HEAVY | {"nesterov": True, "ema": True}, averaged_nesterov),
    ("RMSprop", INSIDE | HEAVY, lambda: rules.rmsprop(momentum=True, inside=True)),
    ("RMSprop", INSIDE | CENTERED, lambda: rules.rmsprop(centered=True, inside=True)),
    ("RMSprop", INSIDE | CENTERED | HEAVY,
     lambda: rules.rmsprop(centered=True, momentum=True, inside=True)),
    ("Adam", {"bias_correction": False, "eps_beside": "raw"}, lambda: rules.adam(corrected=False)),
    ("RAdam", {"threshold": 4, "before": "nothing"},
     lambda: rules_relatives.radam(threshold=4, before="nothing")),
    ("AMSBound", {"schedule": "sqrt"}, lambda: rules_relatives.adabound(maximum=True, schedule="sqrt")),
)  # fmt: skip


def equal(a: Rule, b: Rule) -> bool:
    """Whether two rules are proved equal, exactly, line by line: ``code-is-paper`` without a name."""
    plain, allowed = unclamped(a)
    lines = lines_of(aligned(plain, b), b)
    answers = [engines.decide(step.goal) for step in (*allowed, *(lines or ()))]
    proved = all(a.verdict is Verdict.PROVED and a.level is Level.EXACT for a in answers)
    return lines is not None and proved
