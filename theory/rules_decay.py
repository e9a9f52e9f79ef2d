"""Weight decay in its three forms, put into any rule that has none of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .records import Expr
from .rule import Regime, Rule
from .symbols import alpha, g, lambda_, x

#: How a name ends -> what is done to the rule that it begins with.
FORMS = ("+l2", "+decay", "+decay-coupled", "+decay-uncoupled")


def with_decay(rule: Rule, form: str) -> Rule:
    """Return the rule with weight decay.

    ``+l2``: lambda x is added to the gradient, wherever it stands.  ``+decay`` and
    ``+decay-coupled``: x also loses alpha lambda x_{t-1}, as in the frameworks.  ``+decay-uncoupled``:
    it loses lambda x_{t-1} (Loshchilov & Hutter 2019).

    Raises:
        ValueError: there is no such form, or the rule has a decay already.
    """
    if form not in FORMS:
        raise ValueError(f"weight decay comes as {', '.join(FORMS)}, not as {form!r}")
    if lambda_.name in rule.hyper:
        raise ValueError(f"{rule.name} has a weight decay already")
    rate = lambda_ if form == "+decay-uncoupled" else alpha * lambda_

    def changed(new: Mapping[str, Expr]) -> dict[str, Expr]:
        if form == "+l2":
            return {name: line.xreplace({g: g + lambda_ * x}) for name, line in new.items()}
        return {**new, "x": new["x"] - rate * x}

    regimes = tuple(Regime(changed(r.new), r.when) for r in rule.regimes)
    return replace(rule, name=rule.name + form, regimes=regimes)
