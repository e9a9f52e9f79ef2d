"""The paper's symbols, the options that carry them in code, and their domains.

One table: a lift, a claim, a formula in print and a constructor argument all speak of the same
symbol.  Names that SymPy gives a meaning carry a trailing underscore.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp

#: name -> domain (see ``identity.DOMAINS``); symbols that are absent are real.
DOMAINS: dict[str, str] = {
    "t": "natural",
    "alpha": "positive",
    "beta1": "unit",
    "beta2": "unit",
    "beta3": "unit",
    "eps": "nonnegative",
    "lambda_": "nonnegative",
    "mu": "unit",
    "tau": "unit",
    "rho": "unit",
    "eta": "nonnegative",
    "psi": "nonnegative",
    "alpha_final": "positive",
    "gamma_": "positive",
}

#: What a domain means in words, and as SymPy assumptions.
MEANING: dict[str, tuple[str, dict[str, bool]]] = {
    "real": ("a real number", {"real": True}),
    "nonnegative": (">= 0", {"nonnegative": True}),
    "positive": ("> 0", {"positive": True}),
    "unit": ("in [0, 1)", {"nonnegative": True}),
    "natural": ("1, 2, 3, …", {"integer": True, "positive": True}),
}

#: Constructor options and the paper's symbol for each.
OPTIONS: dict[str, str] = {
    "lr": "alpha",
    "betas[0]": "beta1",
    "betas[1]": "beta2",
    "betas[2]": "beta3",
    "beta": "beta1",
    "eps": "eps",
    "epsilon": "eps",
    "weight_decay": "lambda_",
    "momentum": "mu",
    "dampening": "tau",
    "alpha": "beta2",  # RMSprop's smoothing constant is Adam's beta2
    "rho": "rho",
    "lr_decay": "eta",
    "momentum_decay": "psi",
    "final_lr": "alpha_final",
    "gamma": "gamma_",
}

#: How state entries are written on paper.
STATE: dict[str, str] = {
    "exp_avg": "m",
    "exp_avg_sq": "v",
    "max_exp_avg_sq": "u",
    "exp_avg_var": "s",
    "square_avg": "v",
    "grad_avg": "ḡ",
    "momentum_buffer": "b",
    "sum": "G",
    "exp_inf": "u",
    "acc_delta": "Δ",
    "mu_product": "M",
}

_MEANT_BY_SYMPY = {"gamma", "beta", "zeta", "lambda", "S", "N", "E", "I", "O", "Q", "pi"}


def safe(name: str) -> str:
    """Return a name that ``sympy.sympify`` reads as a symbol: ``gamma`` becomes ``gamma_``."""
    cleaned = "".join(c if c.isalnum() else "_" for c in name).strip("_") or "value"
    cleaned = cleaned if cleaned[0].isalpha() else f"h_{cleaned}"
    taken = cleaned in _MEANT_BY_SYMPY or hasattr(sp, cleaned) or hasattr(builtins, cleaned)
    return f"{cleaned}_" if taken else cleaned


def symbol(name: str, domain: str | None = None) -> sp.Symbol:
    """Return the symbol of that name with the assumptions of its domain."""
    return sp.Symbol(name, **MEANING[domain or DOMAINS.get(name, "real")][1])


def state_name(name: str) -> str:
    """Return the symbol's name for a state entry, apart from those of the hyper-parameters."""
    cleaned = safe(name)
    return f"{cleaned}_state" if cleaned in DOMAINS or cleaned == "g" else cleaned


def old(name: str) -> sp.Symbol:
    """Return the symbol for the value of a state entry before the step."""
    return sp.Symbol(state_name(name), real=True)


def new(name: str) -> sp.Symbol:
    """Return the symbol for its value after the step, as ``m_t`` is to ``m_{t-1}``."""
    return sp.Symbol(f"{state_name(name)}_new", real=True)


def describe(symbols: Iterable[Any], extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return name -> domain for the symbols, sorted by name."""
    table = {**DOMAINS, **(extra or {})}
    return {s.name: table.get(s.name, "real") for s in sorted(symbols, key=lambda s: s.name)}


x, g = symbol("x"), symbol("g")
t, alpha, beta1, beta2 = symbol("t"), symbol("alpha"), symbol("beta1"), symbol("beta2")
eps, lambda_, mu, tau = symbol("eps"), symbol("lambda_"), symbol("mu"), symbol("tau")
rho, eta, psi = symbol("rho"), symbol("eta"), symbol("psi")
alpha_final, gamma = symbol("alpha_final"), symbol("gamma_")


# Relations that SymPy does not decide while they are written down: the engines shall.


def ge(a: Any, b: Any) -> sp.Ge:
    """Return a >= b, unevaluated."""
    return sp.Ge(a, b, evaluate=False)


def gt(a: Any, b: Any) -> sp.Gt:
    """Return a > b, unevaluated."""
    return sp.Gt(a, b, evaluate=False)


def eq(a: Any, b: Any) -> sp.Eq:
    """Return a = b, unevaluated."""
    return sp.Eq(a, b, evaluate=False)
