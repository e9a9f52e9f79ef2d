"""The lifted rule is the rule that runs: every subject, single and foreach, unrolled and inductive."""

import importlib
import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import sympy as sp
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adamproof.proofs_check import operations as ops
from adamproof.proofs_check.arb import BALLS
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.lift import Lift, lift, unrolled
from adamproof.proofs_check.shadow import Shadow, number_of, same
from adamproof.proofs_check.subjects import builtin
from adamproof.proofs_check.symbolic import LiftError, SymbolicFloat, exact, recording
from adamproof.theory import symbols as sym
from adamproof.theory.evaluate import value
from adamproof.theory.rule import Rule

RECIPES: dict[str, Recipe] = {n: s.recipe for n, s in builtin().items() if s.recipe and not s.compiled}
#: Rules that keep a product in float32, whatever the parameter is.
SINGLE = [n for n in RECIPES if "NAdam" in n]


@cache
def lifted(name: str) -> Lift:
    return lift(RECIPES[name])


# -- every subject ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_every_subject_lifts(name: str) -> None:
    rule = lifted(name).rule
    assert sym.g in rule.transition()["x"].free_symbols
    assert rule.transition()["x"].has(sym.alpha)


def test_the_hash_is_of_the_formulas_and_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["torch.optim:SGD", "torch.optim:SGD(foreach=True)"]
    first = [lift(RECIPES[n]).code_hash for n in names]
    assert first == [lifted(n).code_hash for n in names]
    assert first[0] == first[1]  # one file, one formula
    assert lifted("torch.optim:SGD(momentum=0.9)").code_hash != first[0]
    monkeypatch.setattr("adamproof.proofs_check.lift.source_of", lambda cls: "another source")
    assert lift(RECIPES[names[0]]).code_hash != first[0]


def equal(a: Rule, b: Rule) -> bool:
    """Whether two rules have equal formulas, branch by branch, and start equally."""
    if (len(a.regimes), a.initial, a.assumes) != (len(b.regimes), b.initial, b.assumes):
        return False
    return all(
        left.when == right.when
        and all(same(e, b.transition(right)[n]) for n, e in a.transition(left).items())
        for left, right in zip(a.regimes, b.regimes, strict=True)
    )


def twin(name: str) -> str:
    """The same rule by another path through the code."""
    if "foreach=True" in name:
        return name.replace(", foreach=True", "").replace("(foreach=True)", "")
    return name.replace("Reference", "")


@pytest.mark.parametrize("name", [n for n in RECIPES if twin(n) != n])
def test_single_and_foreach_shipped_and_reference_are_one_rule(name: str) -> None:
    one, other = lifted(twin(name)).rule, lifted(name).rule
    if "Reference" in name:  # the reference form has no branches that save work
        assert all(same(e, other.transition()[n]) for n, e in one.transition().items())
    else:
        assert equal(one, other)


POINT = {"alpha": "1/3", "beta1": "3/5", "beta2": "7/9", "eps": "1/8", "lambda_": "2/7", "mu": "2/3",
         "tau": "1/5", "rho": "5/8", "eta": "3/4", "psi": "2", "alpha_final": "3/7",
         "gamma_": "4/3"}  # fmt: skip
GIVEN = [Fraction(7, 5), Fraction(-2, 3), Fraction(5, 4)]


@pytest.mark.parametrize("name", [n for n in RECIPES if "foreach" not in n])
def test_unrolled_is_the_transition_composed(name: str) -> None:
    rule, recipe = lifted(name).rule, RECIPES[name]
    point = {n: Fraction(POINT[n]) for n in recipe.symbols()}
    x = Fraction(9, 4)
    for steps in (2, 3) if "Reference" not in name else (2,):
        trace = rule.run(point, GIVEN[:steps], x)
        formulas = unrolled(recipe, steps).new
        assert set(formulas) == {"x", *rule.initial}
        given = {f"g{k}": g for k, g in enumerate(GIVEN[:steps], 1)}
        for entry, formula in formulas.items():
            direct = value(formula, point | given | {"x": x})
            composed = (trace.x if entry == "x" else trace.state[entry])[steps]
            assert abs(direct - composed).hi < Fraction(1, 10**60)


def test_unrolled_and_composed_are_one_expression() -> None:
    recipe = Recipe(torch.optim.Adam)
    for steps in (1, 2, 3):
        composed = lift(recipe).rule.unrolled(steps)
        for entry, formula in unrolled(recipe, steps).new.items():
            assert same(formula, composed[entry])


RANGES = {"alpha": (1e-4, 2.0), "eps": (1e-8, 1.0), "lambda_": (1e-4, 0.5), "eta": (1e-3, 2.0),
          "psi": (1e-3, 1.0), "alpha_final": (1e-3, 1.0), "gamma_": (1e-3, 2.0)}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_rule_in_balls_encloses_the_real_run(name: str, data: st.DataObject) -> None:
    recipe, rule = RECIPES[name], lifted(name).rule
    numbers = {n: data.draw(st.floats(*RANGES.get(n, (0.01, 0.99))), n) for n in recipe.symbols()}
    size = st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3)
    gradients = data.draw(st.lists(size, min_size=3, max_size=8), "gradients")
    param = torch.nn.Parameter(torch.tensor([data.draw(size, "x")], dtype=torch.float64))
    start = Fraction(param.item())
    optimizer = recipe.build([param], numbers, symbolic=False)
    seen = []
    for gradient in gradients:
        param.grad = torch.full_like(param, gradient)
        optimizer.step()
        seen.append(param.item())
    point = {n: Fraction(v) for n, v in numbers.items()}
    exact_x = rule.run_in(BALLS, point, [Fraction(g) for g in gradients], start).x
    largest = max(abs(float(x.mid())) for x in exact_x)
    # one update can be much larger than what is left of the parameter after it
    largest = max(largest, *(abs(a - b) for a, b in pairwise(seen)))
    for real, ball in zip(seen, exact_x[1:], strict=True):
        assert abs(real - float(ball.mid())) <= (1e-4 if name in SINGLE else 1e-9) * largest


@pytest.mark.parametrize("name", [n for n in RECIPES if n.startswith("torch") and "=" not in n])
def test_maximize_turns_the_gradient_around(name: str) -> None:
    other = lift(Recipe(RECIPES[name].cls, {"maximize": True})).rule.transition()
    for entry, formula in lifted(name).rule.transition().items():
        assert same(formula.xreplace({sym.g: -sym.g}), other[entry])


CAPTURABLE = ["Adam", "AdamW", "NAdam", "Adamax", "Adadelta", "RMSprop"]


def check_capturable(cls: str, foreach: bool) -> None:
    rule = lift(Recipe(getattr(torch.optim, cls), {"capturable": True, "foreach": foreach})).rule
    plain = lifted(f"torch.optim:{cls}").rule
    point = {n: Fraction(v) for n, v in POINT.items()}
    here, there = (r.run(point, GIVEN, Fraction(9, 4)).x for r in (rule, plain))
    assert all(abs(a - b).hi < Fraction(1, 10**60) for a, b in zip(here, there, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("cls", CAPTURABLE)
def test_capturable_lifts(cls: str, foreach: bool) -> None:
    check_capturable(cls, foreach)


@pytest.mark.parametrize("cls", CAPTURABLE)
def test_capturable_code_lifts_on_a_cpu_that_is_said_to_be_a_gpu(
    cls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("adam", "nadam", "adamax", "adadelta", "rmsprop"):
        module = importlib.import_module(f"torch.optim.{name}")
        monkeypatch.setattr(module, "_get_capturable_supported_devices", lambda *_, **__: ["cpu"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check_capturable(cls, foreach=cls in ("Adam", "RMSprop"))


# -- optimizers that people write -------------------------------------------------------------------


class Written(torch.optim.Optimizer):
    def __init__(self, params: Any, lr: float = 1e-3, betas: Any = (0.9, 0.99),
                 weight_decay: float = 0.1, eps: float = 1e-8, warmup: int = 7) -> None:  # fmt: skip
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay, eps=eps))
        self.warmup = warmup

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
                state["step"] += 1
                self.update(p, p.grad, state, group, *group["betas"])


class Lion(Written):
    """Chen et al. 2023 (arXiv 2302.06675v4), Algorithm 2."""

    def update(self, p, g, state, group, beta1, beta2):  # type: ignore[no-untyped-def]
        p.data.mul_(1 - group["lr"] * group["weight_decay"])
        update = state["exp_avg"].clone().mul_(beta1).add(g, alpha=1 - beta1).sign_()
        p.add_(update, alpha=-group["lr"])
        state["exp_avg"].mul_(beta2).add_(g, alpha=1 - beta2)


class AdaBelief(Written):
    """Zhuang et al. 2020 (arXiv 2010.07468v5), Algorithm 2."""

    def update(self, p, g, state, group, beta1, beta2):  # type: ignore[no-untyped-def]
        m, s = state["exp_avg"], state["exp_avg_sq"]
        m.mul_(beta1).add_(g, alpha=1 - beta1)
        s.mul_(beta2).addcmul_(g - m, g - m, value=1 - beta2).add_(group["eps"])
        m_hat = m / (1 - beta1 ** state["step"])
        p.addcdiv_(m_hat, (s / (1 - beta2 ** state["step"])).sqrt() + group["eps"], value=-group["lr"])


class Warmed(Written):
    """Signs, with a learning rate that grows for seven steps and falls as 1/sqrt(t) after them."""

    def update(self, p, g, state, group, beta1, beta2):  # type: ignore[no-untyped-def]
        rate = group["lr"] * min(1.0, state["step"] / self.warmup) * state["step"] ** -0.5
        p.sub_(rate * torch.sign(g) + rate * torch.clamp(g, -1, 1))


def test_lion() -> None:
    new = lift(Recipe(Lion)).rule.transition()
    m = sym.old("exp_avg")
    direction = sp.sign(m * sym.beta1 + sym.g * (1 - sym.beta1))
    assert new["x"] == sym.x * (1 - sym.alpha * sym.lambda_) - sym.alpha * direction
    assert new["exp_avg"] == m * sym.beta2 + sym.g * (1 - sym.beta2)


def test_adabelief() -> None:
    rule = lift(Recipe(AdaBelief)).rule
    m, s = sym.new("exp_avg"), sym.new("exp_avg_sq")
    assert rule.late.new["exp_avg_sq"] == (
        sym.old("exp_avg_sq") * sym.beta2 + (sym.g - m) ** 2 * (1 - sym.beta2) + sym.eps
    )
    assert same(
        rule.late.new["x"],
        sym.x - sym.alpha * m / (1 - sym.beta1**sym.t)
        / (sp.sqrt(s / (1 - sym.beta2**sym.t)) + sym.eps),
    )  # fmt: skip


def test_warm_up_is_a_branch_on_t() -> None:
    early, late = lift(Recipe(Warmed)).rule.regimes
    assert (early.when, late.when) == ((sym.t < 7,), (sym.t >= 7,))
    signs = sp.sign(sym.g) + sp.Min(1, sp.Max(-1, sym.g))
    assert same(late.new["x"], sym.x - sym.alpha * signs / sp.sqrt(sym.t))


class OnAWord(Written):
    """A step in words of torch alone; each test says which."""

    def update(self, p, g, state, group, beta1, beta2):  # type: ignore[no-untyped-def]
        count = state.setdefault("count", torch.zeros((), dtype=torch.float32))
        count += 1
        p.sub_(self.word(p, g, state, group) * group["lr"])


def words(name: str, word: Callable[..., Any]) -> Recipe:
    def step(self: Any, *args: Any) -> Any:
        return word(*args)

    return Recipe(type(name, (OnAWord,), {"word": step}))


def clamped(p: Any, g: Any, state: Any, group: Any) -> Any:
    (d,) = torch._foreach_clamp_min(torch._foreach_abs([g]), [group["eps"]])
    torch._foreach_minimum_([d], [torch.ones_like(d)])
    torch._foreach_maximum_([d], 0.5)
    torch._foreach_reciprocal_([d])
    return torch._foreach_mul(torch._foreach_pow([d], [2]), torch._foreach_sign([g]))[0]


def lerped(p: Any, g: Any, state: Any, group: Any) -> Any:
    weight = torch.tensor(1 - group["betas"][0], dtype=p.dtype)
    torch._foreach_lerp_([state["exp_avg"]], [g], [weight])
    return torch.where(torch.tensor(group["lr"]) > 0, state["exp_avg"], g).sign_()


def test_lists_in_the_form_that_sign_and_bound_rules_take() -> None:
    size = sp.Max(sp.Rational(1, 2), sp.Min(1, sp.Max(sym.eps, sp.Abs(sym.g))))
    told = sym.x - sym.alpha * sp.sign(sym.g) / size**2
    assert same(lift(words("Clamped", clamped)).rule.late.new["x"], told)
    rule = lift(words("Lerped", lerped)).rule
    assert same(rule.transition()["x"], sym.x - sym.alpha * sp.sign(
        sym.beta1 * sym.old("exp_avg") + (1 - sym.beta1) * sym.g))  # fmt: skip
    assert not same(rule.transition()["x"], sym.x - sym.alpha * sp.sign(sym.old("exp_avg")))


def test_where_branches_on_t_and_hyper_parameters() -> None:
    late = words("Late", lambda p, g, s, h: torch.where(s["count"] > 5, g, 2 * g))
    early, after = lift(late).rule.regimes
    assert (early.when, after.when) == ((sym.t <= 5,), (sym.t > 5,))
    assert (early.new["x"], after.new["x"]) == (sym.x - 2 * sym.alpha * sym.g, sym.x - sym.alpha * sym.g)
    large = words("Large", lambda p, g, s, h: torch.where(torch.tensor(h["lr"]) > 0.5, g, 3 * g))
    rule = lift(large).rule
    assert rule.assumes == (sym.alpha <= sp.Rational(1, 2),)
    assert rule.late.new["x"] == sym.x - 3 * sym.alpha * sym.g


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (lambda p, g, s, h: torch.where(g > 0, g, 2 * g), "branches on the value of g1"),
        (lambda p, g, s, h: torch.where(s["exp_avg"].copy_(g) >= 0, g, 2 * g), "branches on the value"),
        (lambda p, g, s, h: (s["count"] > 5) * g, "which only where takes"),
        (lambda p, g, s, h: (s["count"] > 5).double() * g, "which only where takes"),
        (lambda p, g, s, h: torch.where((s["count"] > 5).logical_not(), g, 2 * g), "logical_not"),
        (lambda p, g, s, h: torch.where((s["count"] > 5).fill_(True), g, 2 * g), "fill_"),
        (lambda p, g, s, h: torch.copysign(torch.ones_like(g), g), "copysign"),
    ],
)
def test_a_condition_on_data_or_a_truth_as_a_number_stops(word: Any, message: str) -> None:
    with pytest.raises(LiftError, match=message):
        lift(words("Word", word))


# -- the instruments --------------------------------------------------------------------------------

NUMBERS = {sym.symbol(n): v for n, v in {"a": 0.75, "b": 2.25, "c": 0.3}.items()}
LEAVES = st.sampled_from([*NUMBERS, 1, 2, 0.5])
OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "abs": lambda a, b: abs(a), "neg": lambda a, b: -a, "root": lambda a, b: abs(a) ** 0.5,
    "square": lambda a, b: a**2, "power": lambda a, b: 2**a, "floats": lambda a, b: 0.25 - a / 3.5,
}  # fmt: skip


@given(st.recursive(LEAVES, lambda t: st.tuples(st.sampled_from([*OPERATIONS]), t, t), max_leaves=8))
def test_a_symbolic_float_is_the_value_of_its_formula(tree: Any) -> None:
    def read(node: Any) -> Any:
        if isinstance(node, tuple):
            return OPERATIONS[node[0]](read(node[1]), read(node[2]))
        return SymbolicFloat(NUMBERS[node], node) if isinstance(node, sp.Symbol) else node

    try:
        number = read(tree)
    except (ArithmeticError, LiftError):
        return
    if isinstance(number, SymbolicFloat) and 1e-6 < abs(number) < 1e6:
        assert math.isclose(
            float.__add__(number, 0.0), number.expr.evalf(30, subs=NUMBERS), rel_tol=1e-6
        )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_constant_is_taken_as_it_is_written(number: float) -> None:
    assert exact(number) == sp.Rational(repr(number))


A, B, C = 0.7, -1.3, 2.2
CALLS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys("neg negative abs sign sgn square reciprocal zero clone detach contiguous "
                    "zeros_like ones_like".split(), (A,)),
    **dict.fromkeys(["sqrt", "rsqrt"], (C,)),
    **dict.fromkeys("add sub subtract rsub mul multiply div divide true_divide maximum minimum max min "
                    "copy fill full_like".split(), (A, B)),
    "pow": (C, B), "clamp": (B, A, C), "clip": (B, A, C), "clamp_min": (B, A), "clamp_max": (C, A),
    "lerp": (A, B, C), "addcmul": (A, B, C), "addcdiv": (A, B, C),
}  # fmt: skip
#: Arguments that are numbers in torch, not tensors.
PLAIN = {"fill": {1}, "full_like": {1}, "clamp": {1, 2}, "clip": {1, 2}, "clamp_min": {1},
         "clamp_max": {1}}  # fmt: skip


@pytest.mark.parametrize("name", ops.ELEMENTWISE)
def test_the_table_says_what_torch_does(name: str) -> None:
    names = [sp.Symbol(n, real=True) for n in "abc"]
    shadow = Shadow()
    arguments: list[Any] = []
    for i, (symbol, number) in enumerate(zip(names, CALLS[name], strict=False)):
        if i in PLAIN.get(name, ()):
            arguments.append(SymbolicFloat(number, symbol))
        else:
            arguments.append(torch.tensor([number], dtype=torch.float64))
            shadow.put(arguments[-1], symbol)
    call = getattr(torch, name, None) or getattr(torch.Tensor, name, None)
    call = call or getattr(torch.Tensor, f"{name}_")
    with recording(), shadow:
        result = call(*arguments)
    formula = sp.sympify(shadow.get(result))
    told = float(formula.subs(dict(zip(names, CALLS[name], strict=False))))
    assert math.isclose(number_of(result), told, rel_tol=1e-14)


def test_a_wrong_table_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ops.ELEMENTWISE, "addcdiv", lambda a, b, c, value=1: a + value * b * c)
    with pytest.raises(LiftError, match=r"addcdiv_ gave .* where its meaning gives"):
        lift(Recipe(torch.optim.Adam, {"foreach": False}))


@pytest.mark.parametrize("lr", [2.0**53, 1e30])
def test_a_rate_so_large_that_adding_1_changes_nothing_is_no_step_counter(lr: float) -> None:
    found = lift(Recipe(torch.optim.Adam, {"lr": lr}))
    assert found.rule.transition() == lift(Recipe(torch.optim.Adam)).rule.transition()


def test_too_many_steps_to_unroll() -> None:
    with pytest.raises(LiftError, match="unroll 100 at most"):
        unrolled(Recipe(torch.optim.SGD), 101)
    with pytest.raises(LiftError, match="operations; unroll fewer steps"):
        unrolled(Recipe(torch.optim.Adam, {"weight_decay": 0.1}), 20)
    with pytest.raises(LiftError, match="at least 1"):
        unrolled(Recipe(torch.optim.SGD), 0)
