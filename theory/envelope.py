"""Section 7, rounding: what a float run may differ from the update, and why bands enclose it.

The claim is about how code runs, so its verdict is a measurement; these steps are the facts about
rounding to nearest by which the bands that it is held against are right for every format.
"""

from __future__ import annotations

import sympy as sp

from .catalogue import claim
from .records import Case, Holds, Identity, Step
from .rule import Rule
from .sources import FOLKLORE, H02, HERE
from .symbols import ge, gt, symbol

FAMILY = "precision"

X, Y, A, B = (symbol(n) for n in "xyab")
H, U, K = (symbol(n, "positive") for n in ("h", "u", "k"))
S, R = symbol("s", "nonnegative"), symbol("r", "nonnegative")
W, D, E, N = (symbol(n) for n in ("w", "d", "e", "n"))
_DOMAINS = {"h": "positive", "u": "positive", "k": "positive", "s": "nonnegative", "r": "nonnegative"}


def _nearer(one: sp.Symbol, other: sp.Symbol, to: sp.Symbol) -> sp.Expr:
    """Return that a number is at least as near to an exact value as another is."""
    return ge((other - to) ** 2, (one - to) ** 2)


def _order() -> tuple[Step, ...]:
    """Rounding to nearest keeps the order, so the ends of a band are rounded to its ends."""
    worse = (A - X) ** 2 - (B - X) ** 2 + (B - Y) ** 2 - (A - Y) ** 2
    given = (gt(Y, X), _nearer(A, B, X), _nearer(B, A, Y))
    return (
        Step("what a and b lose against each other at x and at y",
             Identity(worse, 2 * (A - B) * (Y - X)), "expand the four squares"),
        Step("x < y, a nearest to x, b nearest to y: then a <= b",
             Holds(ge(B, A), given), "both losses are <= 0, so the product (a − b)(y − x) is"),
    )  # fmt: skip


def _error() -> tuple[Step, ...]:
    """The error of rounding to nearest: relative in the normal range, absolute below it."""
    normal = {K: 1 / (2 * U) + S, X: H * (1 / (2 * U) + S) + R}
    between = (ge(X - A, 0), gt(H, X - A), ge((A + H - X) ** 2, (X - A) ** 2))
    return (
        Step("x between neighbours a and a + h, a the nearest: the error is at most h/2",
             Holds(ge(H / 2, X - A), between, _DOMAINS), "it is not larger than that of a + h"),
        Step("normal range, x >= k·h with a significand k >= 2^(p−1) = 1/(2u): h/2 <= u·x",
             Holds(ge(U * X, H / 2).xreplace(normal), (), _DOMAINS),
             "u·k·h >= h/2; below the normal range h is the least number, so h/2 bounds the error"),
    )  # fmt: skip


def _sum() -> tuple[Step, ...]:
    """What a step of an average loses: it bounds a + w(b − a) though that holds a twice."""
    computed = A + (W * (B - A) * (1 + D)) * (1 + E) + N
    exact = (1 - W) * A + W * B
    return (
        Step("a + w·(b − a), difference and product rounded, is (1 − w)·a + w·b and the two errors",
             Identity(computed - exact, W * (B - A) * (D + E + D * E) + N),
             "the exact value holds a and b once, with weights that are not negative"),
    )  # fmt: skip


@claim("float-envelope", family=FAMILY, source=H02("sections 2.1 and 2.2, eq. (2.8)"),
       says="The float32 update is the update.",
       statement="In float32, float16 and bfloat16, every number that a run keeps lies in the band of "
                 "what rounding to nearest allows, and the exact update lies with it in the band of "
                 "(1 + δ) and η, |δ| <= u; so the two differ by at most the width of that band.",
       hypotheses="+, −, ×, ÷ rounded to nearest, a root to a neighbour; a product that is added may be "
                  "fused; half types are computed in float32 and rounded once, but for numbers from "
                  "Python and their product in the CPU's add, and in its in-place list product, which "
                  "are rounded to the half type; nothing is flushed to zero; Python computes in "
                  "double.  The bands are those of the operations that the code runs; that these are "
                  "the rule's is code-is-paper.  A number that was rounded and is read back into "
                  "Python (NAdam's product) is taken as it is: there the second half is only seen.  "
                  "A band may reach infinity or allow NaN, and then says nothing.")  # fmt: skip
def float_envelope(rule: Rule) -> Case:
    """The facts behind the bands; the runs themselves are the judge's."""
    small = {X: H * K + R}
    return Case(
        (*_order(), *_error(), *_sum()),
        control=Holds(ge(U * X, H / 2).xreplace(small), (), _DOMAINS),
        trial="float-envelope",
    )


@claim("fused-kernel", family=FAMILY, source=FOLKLORE,
       says="fused=True computes the same, only faster.",
       statement="In float32, float16 and bfloat16 every number that the fused kernel keeps lies in the "
                 "band of (1 + δ) and η, |δ| <= u, of the single-tensor code's operations.",
       hypotheses="the rounding model of float-envelope; a band may reach infinity or allow NaN, and "
                  "then says nothing.  The fused kernel itself has no formula: the runs of this version "
                  "of torch are all that is known.",
       repaired_by="code-is-paper")  # fmt: skip
def fused_kernel(rule: Rule) -> Case:
    """Tried on classes that have a fused form; the single-tensor code is the rule of the paper."""
    return Case(trial="fused-kernel")


@claim("compiled-kernel", family=FAMILY, source=HERE,
       says="compiled=True computes the same, only faster.",
       statement="In float32, float16 and bfloat16 every number that the kernel keeps, made from "
                 "the function of the reference form, lies in the band of (1 + δ) and η, |δ| <= u, of "
                 "that form's operations.",
       hypotheses="the rounding model of float-envelope; a band may reach infinity or allow NaN, and "
                  "then says nothing.  The kernel itself has no formula: that of its reference form is "
                  "judged by the other claims, and these runs tie the one to the other.",
       repaired_by="code-is-paper")  # fmt: skip
def compiled_kernel(rule: Rule) -> Case:
    """Tried on the compiled forms of our optimizers."""
    return Case(trial="compiled-kernel")
