"""A lift is right, or it stops: the zoo of optimizers that try to make it lie."""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
import torch

from adamproof.proofs_check import symbolic
from adamproof.proofs_check.arb import BALLS
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.hidden import reachable
from adamproof.proofs_check.lift import lift, unrolled
from adamproof.proofs_check.symbolic import LiftError, SymbolicFloat
from adamproof.theory import symbols as sym
from adamproof.theory.rule import Rule

from . import leaky, leaky_steps
from .leaky import ZOO, Case

SHAPES = ((1,), (2, 2))
#: Rules that round to float32 on their way.
SINGLE = {"tensor_single"}


def distance(rule: Rule, recipe: Recipe, steps: int, seed: int) -> float:
    """The largest relative difference of a plain float64 run from the rule, over all coordinates."""
    draw = random.Random(seed)
    params = [torch.nn.Parameter(torch.full(s, 0.6, dtype=torch.float64)) for s in SHAPES]
    optimizer = recipe.build(params, {}, symbolic=False)
    seen: list[list[Any]] = [[] for _ in params]
    gradients: list[list[Any]] = [[] for _ in params]
    for _ in range(steps):
        for param, given in zip(params, gradients, strict=True):
            numbers = [draw.gauss(0, 1) for _ in range(param.numel())]
            param.grad = torch.tensor(numbers, dtype=torch.float64).reshape(param.shape)
            given.append(numbers)
        optimizer.step()
        for param, told in zip(params, seen, strict=True):
            told.append(param.detach().flatten().tolist())
    point = {n: Fraction(v) for n, v in recipe.symbols().items()}
    worst = 0.0
    for given, told in zip(gradients, seen, strict=True):
        for i in range(len(told[0])):
            exact = rule.run_in(BALLS, point, [Fraction(g[i]) for g in given], Fraction(0.6)).x
            size = max(abs(float(x.mid())) for x in exact)
            worst = max(
                worst,
                *(abs(now[i] - float(x.mid())) / size for now, x in zip(told, exact[1:], strict=True)),
            )
    return worst


@pytest.mark.parametrize("name", [n for n, c in ZOO.items() if c.told is None])
def test_what_lifts_is_what_runs(name: str) -> None:
    recipe = Recipe(ZOO[name].cls)
    rule = lift(recipe).rule
    steps = {"far_away": 110, "one_step_of_its_own": 380}.get(name, 12)
    assert distance(rule, recipe, steps, seed=1) < (1e-6 if name in SINGLE else 1e-9)


def lines(case: Case) -> set[int]:
    return {line for *_, line in case.body.__code__.co_lines() if line is not None}


@pytest.mark.parametrize("name", [n for n, c in ZOO.items() if c.told is not None])
def test_what_cannot_be_lifted_stops(name: str) -> None:
    case = ZOO[name]
    with pytest.raises(LiftError) as stopped:
        lift(Recipe(case.cls))
    assert case.told is not None
    assert case.told in str(stopped.value)
    file, _, line = stopped.value.place.rpartition(":")
    if case.here:
        assert Path(file).name in ("leaky.py", "leaky_steps.py")
        assert int(line) in lines(case)
        assert stopped.value.place in str(stopped.value)
        assert stopped.value.operation


def test_the_zoo_is_large() -> None:
    lifted = sum(case.told is None for case in ZOO.values())
    assert len(ZOO) - lifted > 140
    assert lifted > 40


# -- names and numbers of symbols -------------------------------------------------------------------


def test_an_option_and_a_paper_s_symbol_are_told_apart() -> None:
    recipe = Recipe(leaky_steps.TwoForOne)
    assert recipe.sources() == {"alpha": "lr", "alpha_": "alpha", "beta1": "betas[0]",
                                "beta2": "betas[1]"}  # fmt: skip
    rule = lift(recipe).rule
    new = sym.symbol("alpha") * sym.symbol("beta2") / sym.symbol("alpha_")
    assert rule.transition()["x"] == sym.x - sym.g * new


def test_options_named_like_other_things_get_names_of_their_own() -> None:
    recipe = Recipe(leaky_steps.NamedLikeSymbols)
    assert recipe.sources() == {"x_": "x", "g_": "g", "t_": "t", "S_": "S", "gamma_": "gamma",
                                "g1_": "g1", "m_new_": "m_new", "beta1_": "beta1"}  # fmt: skip
    assert distance(lift(recipe).rule, recipe, 6, seed=2) < 1e-9


def test_a_number_outside_of_the_symbol_s_domain_gets_another_symbol() -> None:
    recipe = Recipe(leaky_steps.OutOfDomain)
    assert set(recipe.symbols()) == {"alpha", "momentum", "beta1", "betas_1"}
    assert distance(lift(recipe).rule, recipe, 6, seed=3) < 1e-9


def test_a_constructor_with_narrow_ranges() -> None:
    recipe = Recipe(leaky_steps.Narrow)
    assert lift(recipe).rule.transition()["x"] == sym.x - sym.g * sym.alpha * sym.symbol("kappa")


def test_a_subclass_of_torch_s_adam() -> None:
    recipe = Recipe(leaky_steps.Adamant)
    assert distance(lift(recipe).rule, recipe, 6, seed=4) < 1e-9


# -- the defences, one by one -----------------------------------------------------------------------


def test_a_branch_that_only_the_user_s_number_takes_is_the_one_that_is_lifted() -> None:
    small, large = (
        lift(Recipe(ZOO["rate_branch"].cls, {"lr": lr})).rule for lr in (0.1, 3.0)
    )  # fmt: skip
    assert small.transition()["x"] == sym.x - sym.g * sym.alpha
    assert large.transition()["x"] == sym.x - sym.g * sym.alpha**2
    assert small.assumes == (sym.alpha < 1,)
    assert large.assumes == (sym.alpha >= 1,)


def test_branches_of_the_constructor_and_of_the_first_step_are_assumed() -> None:
    rule = lift(Recipe(leaky_steps.ScaledByRange)).rule
    kappa = sym.symbol("kappa")
    assert set(rule.assumes) == {sym.alpha <= 100, sym.alpha <= 50, kappa > 0, kappa < 1}
    assert lift(Recipe(torch.optim.Adam)).rule.assumes == ()


def test_an_unrolled_lift_says_which_branches_it_took() -> None:
    early, late = (unrolled(Recipe(torch.optim.RAdam), steps) for steps in (5, 6))
    assert [taken for _, taken in early.branches] == [False] * 5
    assert [taken for _, taken in late.branches] == [False] * 5 + [True]


@pytest.mark.parametrize("name", ["on_the_gradient", "rate_bound_sqrt", "tensor_exp", "swallowed"])
def test_an_unrolled_lift_stops_too(name: str) -> None:
    told = ZOO[name].told or ""
    with pytest.raises(LiftError, match=told):
        unrolled(Recipe(ZOO[name].cls), 2)


def test_math_is_itself_again_after_a_lift() -> None:
    import math

    before = dict(vars(math))
    lift(Recipe(ZOO["rate_math_sqrt"].cls))
    with pytest.raises(LiftError):
        lift(Recipe(ZOO["rate_math_exp"].cls))
    assert vars(math) == before
    assert not symbolic._active


def test_a_symbolic_float_is_a_float_to_the_code_that_checks_it() -> None:
    value = SymbolicFloat(0.25, sym.alpha)
    assert isinstance(value, float)
    assert 0.0 <= value < 1
    assert value == 0.25
    assert f"{value} {value!r}" == "0.25 0.25"


def test_what_is_reachable_does_not_change_in_torch_s_optimizers() -> None:
    param = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.Adam([param])
    before = reachable(optimizer)
    param.grad = torch.ones(1)
    optimizer.step()
    assert reachable(optimizer) == before
    optimizer.param_groups[0]["lr"] = 0.5
    changed = reachable(optimizer)
    assert {p for p in changed if before.get(p) != changed[p]} == {"param_groups[0]['lr']"}


def test_compiled_code_runs_as_python_during_a_lift_only() -> None:
    leaky.COMPILED.clear()
    torch.compiler.reset()
    recipe = Recipe(ZOO["tensor_compiled"].cls)
    rule = lift(recipe).rule
    assert leaky.COMPILED == []
    assert distance(rule, recipe, 3, seed=5) < 1e-9
    assert leaky.COMPILED


def test_the_regime_of_late_steps_is_the_last() -> None:
    rule = lift(Recipe(ZOO["one_step_of_its_own"].cls)).rule
    assert [r.when for r in rule.regimes] == [(sp.Eq(sym.t, 377),), (sp.Ne(sym.t, 377),)]
    rule = lift(Recipe(ZOO["nested"].cls)).rule
    assert [r.when for r in rule.regimes] == [
        (sym.t <= 3,), (sym.t > 3, sym.t <= 60), (sym.t > 3, sym.t > 60),
    ]  # fmt: skip


def test_every_word_of_the_zoo_is_used() -> None:
    # a constant of leaky.py that no case expects any more would be a defence without a test
    told = {case.told for case in ZOO.values()}
    words = {v for k, v in vars(leaky).items() if k.isupper() and isinstance(v, str)}
    assert words <= told
