"""Mutants made by machine: of our optimizers, of the paper's rules, and of the derivations.

A mutant is *killed* when the judge does not call it proved any more: code that no longer is the
paper's, a rule that no longer is the code's, a step that no longer holds.  One that survives must be
no change at all: code or formulas with the same meaning.

``python tests/mutation.py`` makes them all and writes docs/mutation.md; tests/test_mutation.py takes
a sample.
"""

import ast
import copy
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import sympy as sp

from adamproof import optimizers
from adamproof.proofs_check import engines, points
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.judge import SAME_RULE, Judge
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.theory.catalogue import claims
from adamproof.theory.faithful import paper_of
from adamproof.theory.records import Ground, Holds, Identity, Verdict
from adamproof.theory.rule import Regime, Rule
from adamproof.theory.rules import RULES
from adamproof.theory.symbols import beta1, beta2, eps, t

sys.path.insert(0, str(Path(__file__).parent))  # as a script this file has no package
from mutants import FOLDER, NAME, load
from nameless import NAMELESS, equal

SUBJECTS = builtin()


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change.

    Attributes:
        kind: ``code``, ``rule`` or ``step``.
        where: the file and function, the rule, or the claim and its step.
        what: what was changed.
        survives: whether the judge still calls it proved.
        same: whether it has the meaning of the original, found out in another way.
    """

    kind: str
    where: str
    what: str
    survives: Callable[[], bool]
    same: Callable[[], bool] = lambda: False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


# -- optimizers ------------------------------------------------------------------------------------

#: Functions that compute a step; the others check arguments and keep house.
_STEPS = (
    "adabelief adabound adadelta adagrad adam adam_ adamax adamw amsbound amsgrad bounds decay_ decayed "
    "l2 lengths lion momenta nadam radam rate_of_adam rectifier rmsprop sgd sign_sgd "
    "_named _rule _update"
).split()
#: Files whose rules are of no subject: they couple coordinates, which no lift can follow.
_NO_SUBJECT = ("swats",)
#: Files that every rule uses.
_SHARED = ("base", "decay")
_OTHER_OPERATOR = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
                   ast.Pow: ast.Mult}  # fmt: skip
_OTHER_NAME = {"beta1": "beta2", "beta2": "beta1", "m": "v", "v": "m", "grads": "params"}
_OTHER_CALL = {"_foreach_mul_": "_foreach_div_", "_foreach_div_": "_foreach_mul_",
               "_foreach_maximum_": "_foreach_minimum_", "maximum": "minimum"}  # fmt: skip


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """Yield what a node can be changed to; None takes the statement away."""
    changed = copy.deepcopy(node)
    if isinstance(changed, ast.BinOp) and type(changed.op) in _OTHER_OPERATOR:
        changed.op = _OTHER_OPERATOR[type(changed.op)]()
    elif isinstance(changed, ast.Constant) and type(changed.value) in (int, float):
        changed.value += 1
    elif isinstance(changed, ast.Name) and changed.id in _OTHER_NAME:
        changed.id = _OTHER_NAME[changed.id]
    elif isinstance(changed, ast.Attribute) and changed.attr in _OTHER_CALL:
        changed.attr = _OTHER_CALL[changed.attr]
    elif isinstance(changed, ast.UnaryOp) and isinstance(changed.op, ast.USub):
        changed = changed.operand
    elif isinstance(changed, ast.IfExp):
        changed.body, changed.orelse = changed.orelse, changed.body
    elif isinstance(changed, ast.If):
        changed.test = ast.UnaryOp(ast.Not(), changed.test)
    elif isinstance(changed, ast.Expr) and isinstance(changed.value, ast.Call):
        yield f"without {ast.unparse(node)}", None
        return
    else:
        return
    yield f"{ast.unparse(changed)} for {ast.unparse(node)}", changed


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST | None) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self.old:
            return self.new if self.new is not None else ast.Pass()
        found: ast.AST = self.generic_visit(node)
        return found


def code_mutants() -> Iterator[Mutant]:
    """Yield mutants of the functions that compute our optimizers' steps."""
    for path in sorted(p for p in FOLDER.glob("*.py") if p.stem not in _NO_SUBJECT):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        names = [c.name for c in tree.body if isinstance(c, ast.ClassDef)]
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef) or function.name not in _STEPS:
                continue
            body = [s for s in function.body if not _is_docstring(s) and not _raises(s)]
            for node in [n for s in body for n in ast.walk(s)]:
                for what, new in _changes(node):
                    changed = ast.unparse(_swapped(tree, node, new))
                    where = f"optimizers/{path.name}, {function.name}"
                    yield Mutant("code", where, what, _Code(path.stem, names, text, changed))


def _is_docstring(s: ast.stmt) -> bool:
    return isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)


def _raises(s: ast.stmt) -> bool:
    return isinstance(s, ast.Raise)


def _swapped(tree: ast.Module, node: ast.AST, new: ast.AST | None) -> ast.AST:
    """Return a copy of the tree with one node changed."""
    index = next(i for i, n in enumerate(ast.walk(tree)) if n is node)
    copied = copy.deepcopy(tree)
    old = next(n for i, n in enumerate(ast.walk(copied)) if i == index)
    return ast.fix_missing_locations(_Replace(old, new).visit(copied))


@dataclass(frozen=True)
class _Code:
    file: str
    classes: list[str]
    text: str
    changed: str

    def __call__(self) -> bool:
        """Whether every subject of the file, and what has no name there, still is the paper's rule."""
        return all(self._still(subject, same) for subject, same in _judged() if self._concerns(subject))

    def _still(self, subject: Subject, same: Callable[[Subject], bool]) -> bool:
        with tempfile.TemporaryDirectory(prefix="m") as folder:
            sys.path.insert(0, folder)
            try:
                return same(load(subject, Path(folder), self.file, self.text, self.changed))
            except Exception:
                return False  # it does not even run
            finally:
                sys.path.remove(folder)
                for name in [n for n in sys.modules if n.startswith("mutated_")]:
                    del sys.modules[name]

    def _concerns(self, subject: Subject) -> bool:
        name = subject.id.removeprefix(f"{NAME}:").partition("(")[0]
        return name in self.classes or self.file in _SHARED


def _judged() -> Iterator[tuple[Subject, Callable[[Subject], bool]]]:
    """Yield our code, but for the compiled forms, which no lift sees into; and how it is judged."""
    judge, claim = Judge(), claims()[SAME_RULE]
    for subject in SUBJECTS.values():
        if subject.kind == "ours" and not subject.compiled:
            yield subject, lambda changed: judge.finding(claim, changed).verdict is Verdict.PROVED
    for name, options, rule in NAMELESS:
        for form in (name, f"{name}Reference"):
            recipe = Recipe(getattr(optimizers, form), options)
            yield Subject(f"{NAME}:{form}", "ours", recipe), partial(_runs, rule())


def _runs(rule: Rule, changed: Subject) -> bool:
    return equal(changed.rule, rule)


# -- rules -----------------------------------------------------------------------------------------


def _tree_changes(e: sp.Basic) -> Iterator[tuple[str, sp.Basic]]:
    """Yield formulas in which one node was changed."""
    for node in dict.fromkeys(sp.preorder_traversal(e)):
        for new in _other(node):
            changed = e.xreplace({node: new})
            if changed != e:
                yield f"{new} for {node}", changed


def _other(node: sp.Basic) -> Iterator[sp.Basic]:
    swap = {beta1: beta2, beta2: beta1, eps: 2 * eps, t: t + 1}
    if node in swap:
        yield swap[node]
    elif node.is_Pow and node.args[1] == sp.Rational(1, 2):
        yield node.args[0]
    elif node.is_Pow and node.args[1].is_Integer and abs(node.args[1]) > 1:
        yield sp.Pow(node.args[0], node.args[1] + 1, evaluate=False)
    elif node.is_Add:
        first, *rest = node.args
        yield sp.Add(-first, *rest)
        yield sp.Add(*rest)
    elif node.func is sp.Max:
        yield sp.Min(*node.args)
    elif node.is_Integer and abs(node) > 1:
        yield node + 1


def rule_mutants() -> Iterator[Mutant]:
    """Yield mutants of the papers' rules that some code is said to run."""
    for name in sorted({s.against for s in SUBJECTS.values() if s.recipe is not None}):
        rule = paper_of(name)
        for number, regime in enumerate(rule.regimes):
            for entry, formula in regime.new.items():
                for what, changed in _tree_changes(formula):
                    new = Regime({**regime.new, entry: changed}, regime.when)
                    regimes = (*rule.regimes[:number], new, *rule.regimes[number + 1 :])
                    mutated = Rule(f"{name} mutated", rule.initial, regimes, rule.assumes, rule.domains,
                                   against=name)  # fmt: skip
                    where = f"rule {name}, line of {entry}"
                    yield Mutant("rule", where, what, _RuleCheck(mutated),
                                 _SameFormula(formula, changed, dict(rule.all_domains)))  # fmt: skip


@dataclass(frozen=True)
class _RuleCheck:
    rule: Rule

    def __call__(self) -> bool:
        return Judge().on_rule(claims()[SAME_RULE], self.rule).proved


@dataclass(frozen=True)
class _SameFormula:
    """Whether two formulas have the same value at points that SymPy evaluates to 30 digits."""

    a: sp.Basic
    b: sp.Basic
    domains: dict[str, str]

    def __call__(self) -> bool:
        return all(abs(sp.N(v, 30)) < sp.Rational(1, 10**20)
                   for v in _values(self.a - self.b, self.domains))  # fmt: skip


def _values(e: sp.Basic, domains: dict[str, str], count: int = 6) -> Iterator[sp.Basic]:
    source = random.Random(7)
    names = sorted(e.free_symbols, key=lambda s: s.name)
    for _ in range(count):
        point = {}
        for s in names:
            kind = domains.get(s.name, "real")
            whole = source.randint(1, 9)
            number = sp.Rational(source.randint(1, 97), 98)
            if kind == "natural":
                point[s] = sp.Integer(whole)
            elif kind == "real":
                point[s] = number * source.choice((-3, 3))
            else:
                point[s] = number if kind == "unit" else 3 * number
        yield e.subs(point)


# -- steps -----------------------------------------------------------------------------------------

_TURNED = {sp.Ge: sp.Lt, sp.Gt: sp.Le, sp.Le: sp.Gt, sp.Lt: sp.Ge, sp.Eq: sp.Ne, sp.Ne: sp.Eq}


def step_mutants() -> Iterator[Mutant]:
    """Yield, of each different step of the derivations, one that says the opposite or another thing."""
    seen = set()
    source = random.Random(3)
    for claim in claims().values():
        for name in RULES if claim.about != "mathematics" else ["adam"]:
            case = claim.judge(paper_of(name))
            for step in case.steps if case else ():
                goal, where = step.goal, f"{claim.id}, “{step.text}”"
                if not isinstance(goal, Identity | Holds | Ground) or where in seen:
                    continue
                seen.add(where)
                if not isinstance(goal, Identity):
                    relation = goal.relation
                    turned = _TURNED[type(relation)](relation.lhs, relation.rhs, evaluate=False)
                    yield Mutant("step", where, "the opposite", _Step(replace(goal, relation=turned)))
                    continue
                options = list(_tree_changes(sp.sympify(goal.rhs))) or [("plus 1", goal.rhs + 1)]
                what, changed = source.choice(options)
                domains = {**points.domains_of(goal)}
                yield Mutant("step", where, what, _Step(Identity(goal.lhs, changed, goal.domains)),
                             _SameFormula(sp.sympify(goal.rhs), changed, domains))  # fmt: skip


@dataclass(frozen=True)
class _Step:
    goal: Identity | Holds | Ground

    def __call__(self) -> bool:
        return engines.decide(self.goal).verdict is Verdict.PROVED


#: Of each kind one in so many is judged: all of them would take a quarter of an hour.
ONE_IN = {"code": 8, "rule": 4, "step": 1}
_MAKERS: dict[str, Callable[[], Iterator[Mutant]]] = {
    "code": code_mutants,
    "rule": rule_mutants,
    "step": step_mutants,
}


def _some(kind: str) -> Iterator[Mutant]:
    return islice(_MAKERS[kind](), 0, None, ONE_IN[kind])


KINDS: dict[str, Callable[[], Iterator[Mutant]]] = {k: partial(_some, k) for k in _MAKERS}
#: Survivors that have the meaning of the original for a reason that no formula shows.
EXPLAINED: dict[str, str] = {}

PAGE = """\
# Mutation testing of the judge

Generated by `python tests/mutation.py`.  A mutant is one small change, made by machine: of the functions
that compute our optimizers' steps, of the papers' rules, and of the steps of the derivations.  It is
killed when the judge no longer calls it proved; what that is worth says [trust.md](trust.md).  Of the
first one in eight is judged, by turns, of the second one in four, of the third all.
`tests/test_mutation.py` runs a sample of them, beside the ones chosen by hand in `tests/mutants.py`.

| mutants of | made | killed | same meaning as the original | unexplained |
|---|---|---|---|---|
{rows}

## Survivors

{survivors}
"""


def main() -> None:
    """Make and judge every mutant, and write the page."""
    from rich.progress import track

    rows, survivors, unexplained = [], [], 0
    for kind, make in KINDS.items():
        made = list(make())
        alive = [m for m in track(made, description=kind) if m.survives()]
        told = {
            m: EXPLAINED.get(str(m)) or ("the two formulas are equal" if m.same() else "") for m in alive
        }
        open_ = [m for m, why in told.items() if not why]
        unexplained += len(open_)
        names = {"code": "optimizers", "rule": "the papers' rules", "step": "steps of derivations"}
        rows.append(f"| {names[kind]} | {len(made)} | {len(made) - len(alive)} | "
                    f"{len(alive) - len(open_)} | {len(open_)} |")  # fmt: skip
        survivors += [f"- `{m}` — {why or 'NOT EXPLAINED'}" for m, why in told.items()]
    text = PAGE.format(rows="\n".join(rows), survivors="\n".join(survivors) or "None.")
    (Path(__file__).parents[1] / "docs" / "mutation.md").write_text(text, encoding="utf-8")
    print(text)
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
