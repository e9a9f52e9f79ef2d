"""Does the code run the rule of the paper?  The claim that ties every other claim to the code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import permutations

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .records import Case, Holds, Identity, Point, Run, Runs, Step
from .roles import first_moment, same, second_moment
from .rule import Regime, Rule, expand
from .rules import known, named
from .sources import HERE
from .symbols import alpha, g, ge, new, old

#: Runs on which two rules can be seen to differ, short ones first.
RUNS = grid(g1="1 2", g2="1 -1 1/2", g3="1", eps="0 1", beta1="1/2 3/4", beta2="3/4 1/4",
            lambda_="1/4", mu="1/2", alpha="1 1/2", eta="0 1")  # fmt: skip


@cache
def paper_of(name: str) -> Rule:
    """Return the paper's rule of that name, made once."""
    return replace(named(name), against=name)


def renamed(rule: Rule, names: dict[str, str]) -> Rule:
    """Return the rule with its state entries called by other names."""
    swap = {f(a): f(b) for a, b in names.items() for f in (old, new)}
    regimes = tuple(
        Regime({names.get(n, n): e.xreplace(swap) for n, e in r.new.items()}, r.when)
        for r in rule.regimes
    )
    initial = {names[n]: v for n, v in rule.initial.items()}
    return Rule(rule.name, initial, regimes, rule.assumes, rule.domains, rule.against)


def _mappings(rule: Rule, paper: Rule) -> Iterator[dict[str, str]]:
    if set(rule.initial) == set(paper.initial):
        yield {n: n for n in rule.initial}
    elif len(rule.initial) == len(paper.initial) <= 4:
        for order in permutations(paper.initial):
            yield dict(zip(rule.initial, order, strict=True))


def aligned(rule: Rule, paper: Rule) -> Rule:
    """Return the rule with its state called as in the paper, as far as that can be found."""
    best, most = rule, -1
    for names in _mappings(rule, paper):
        candidate = renamed(rule, names)
        if dict(candidate.initial) != dict(paper.initial):
            continue
        a, b = expand(candidate.late.new), expand(paper.late.new)
        agreeing = sum(same(rule, a[n], b[n]) for n in paper.initial)
        if agreeing > most:
            best, most = candidate, agreeing
    return best


def unclamped(rule: Rule) -> tuple[Rule, tuple[Step, ...]]:
    """Return the rule with max(0, v_t − a_t²) as v_t − a_t², and the steps that allow it.

    With v an average of g² and a one of g at the same β, v_t − a_t² is a weighted variance.
    """
    first, second = first_moment(rule), second_moment(rule)
    if first is None or second is None or first.beta != second.beta or first.input != g:
        return rule, ()
    gap = second.new - first.new**2
    clamp = sp.Max(0, gap)
    if not any(e.has(clamp) for r in rule.regimes for e in r.new.values()):
        return rule, ()
    b = first.beta
    lines = rule.late.new
    told = b * (second.old - first.old**2) + b * (1 - b) * (g - first.old) ** 2
    steps = (
        Step("v_t − a_t² = β·(v_(t−1) − a_(t−1)²) + β(1−β)(g_t − a_(t−1))²",
             Identity(lines[second.name] - lines[first.name] ** 2, told), "the rule's own lines"),
        Step("what is added is ≥ 0", Holds(ge(b * (1 - b) * (g - first.old) ** 2, 0)),
             "so v_t − a_t² ≥ 0 for every t by induction, and max(0, ·) of it changes nothing"),
    )  # fmt: skip
    regimes = tuple(
        Regime({n: e.xreplace({clamp: gap}) for n, e in r.new.items()}, r.when) for r in rule.regimes
    )
    return replace(rule, regimes=regimes), steps


def lines_of(rule: Rule, paper: Rule) -> tuple[Step, ...] | None:
    """Return the steps that show two rules equal, or None when their shapes differ."""
    if len(rule.regimes) != len(paper.regimes) or dict(rule.initial) != dict(paper.initial):
        return None
    steps = []
    for ours, theirs in zip(rule.regimes, paper.regimes, strict=True):
        if [type(c) for c in ours.when] != [type(c) for c in theirs.when]:
            return None
        for a, b in zip(ours.when, theirs.when, strict=True):
            steps.append(Step(f"the branch is taken when {a}",
                              Identity(a.lhs - a.rhs, b.lhs - b.rhs), "the same condition"))  # fmt: skip
        let = same(rule, ours.new["x"], theirs.new["x"])
        left, right = (ours.new, theirs.new) if let else (expand(ours.new), expand(theirs.new))
        steps += [
            Step(f"{name}: the line of the code is the line of the paper",
                 Identity(left[name], right[name], rule.domains), "one transition, hence every t")
            for name in (*paper.initial, "x")
        ]  # fmt: skip
    return tuple(steps)


@claim("code-is-paper", family="faithfulness", source=HERE,
       says="The code runs the rule of the paper.",
       statement="The lifted transition equals the named paper's rule: same start, same branches, "
                 "same new state and parameter, for every t and every hyper-parameter.",
       hypotheses="exact arithmetic; options that are 0 or False choose the rule.")  # fmt: skip
def code_is_paper(rule: Rule) -> Case | None:
    """Line by line; where a line differs, the shortest run on which the parameters differ."""
    if not known(rule.against):
        return None
    paper = paper_of(rule.against)
    plain, allowed = unclamped(rule)
    ours = aligned(plain, paper)
    lines = lines_of(ours, paper)

    def excess(run: Run, p: Point) -> Interval:
        start, gaps = Fraction(2), []
        for steps in (1, 2, 3):
            gradients = [p[f"g{k}"] for k in range(1, steps + 1)]
            filled = {**paper.fill(p), **rule.fill(p)}
            gaps.append(abs(run(filled, gradients, start).x[-1]
                            - paper.run(filled, gradients, start).x[-1]))  # fmt: skip
            if gaps[-1].lo > Fraction(1, 1 << 20):  # in floats every step differs by rounding
                break
        return max(gaps, key=lambda gap: gap.lo)

    late = ours.late.new["x"]
    twice = expand(paper.late.new)["x"].subs(alpha, 2 * alpha)
    return Case(
        steps=(*allowed, *lines) if lines else (),
        control=Identity(expand(ours.late.new)["x"] if late.free_symbols else late, twice),
        runs=Runs(excess, RUNS),
    )
