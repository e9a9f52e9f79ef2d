"""What `adamproof reproduce` is asked for: other numbers, seeds, guests; and what it refuses."""

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adamproof import cli, wishes
from adamproof.counterexamples import reddi_period
from adamproof.counterexamples.catalogue import catalogue
from adamproof.counterexamples.orbit import Pattern
from adamproof.counterexamples.record import Asked, Chosen
from adamproof.reproduce import find, judge
from adamproof.theory.records import Level, Verdict

from .test_counterexamples import printed


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str) -> str:
    monkeypatch.setattr(sys, "argv", ["adamproof", "reproduce", *line.split(" ")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("reddi-online --C 2", "Theorem 1 of Reddi et al. is about C > 2, got 2"),
        ("reddi-online --C -1/2", "Theorem 1 of Reddi et al. is about C > 2, got -1/2"),
        ("reddi-online --C 0", "Theorem 1 of Reddi et al. is about C > 2, got 0"),
        (
            "reddi-general-beta --betas 0.99,0.9",
            "Theorem 2 of Reddi et al. (2018) is about 0 <= β1 < √β2",
        ),
        (
            "reddi-general-beta --betas 1/2,1/4",
            "Theorem 2 of Reddi et al. (2018) is about 0 <= β1 < √β2",
        ),
        ("reddi-period --C 4", "reddi-period takes no --C: it takes --pattern, --betas."),
        ("step-exceeds-lr --betas 0,0", "step-exceeds-lr takes no --betas: its numbers are fixed."),
        ("reddi-online --seeds 3", "reddi-online takes no --seeds, as nothing in it is random"),
        ("reddi-online --steps -3", "--steps must be at least 1, got -3"),
        ("reddi-period --pattern 1e400,-1", "a gradient beyond 1e+150 has a square that is no float64"),
        ("reddi-period --pattern 1,0", "needs gradients other than 0"),
        ("reddi-period --pattern 1,-2", "the first gradients must add up to more than 0"),
        ("reddi-period --betas 0.9,1", "β1 and β2 must be in [0, 1), got 9/10 and 1."),
        (
            "reddi-period --pattern 100,-1,-1 --betas 0.9,0.999",
            "the drift is not towards the worst point",
        ),
        ("reddi-period --pattern x", "--pattern takes numbers such as 10, 0.9 or 1/3"),
        ("reddi-period --pattern 1/0", "--pattern takes numbers such as 10, 0.9 or 1/3"),
        ("reddi-period --betas 0.9", "--betas takes β1,β2, such as 0.9,0.999, and got '0.9'."),
        ("reddi-online --C 3,4", "--C takes one number, and got '3,4'."),
        ("all --out o --C 3", "reproduce all takes no --C"),
        ("all --out o --betas 0,0", "reproduce all takes no --betas"),
        ("all --out o --pattern 3,-1", "reproduce all takes no --pattern"),
    ],
)
def test_a_wish_that_does_not_fit_is_refused_in_one_sentence(
    line: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(monkeypatch, capsys, line)
    assert message in told
    assert told.count("\n") == 1


def test_an_example_that_takes_numbers_says_how() -> None:
    for name, example in catalogue().items():
        assert set(example.takes) <= {"pattern", "betas", "C", "seeds"}, name
        assert bool(set(example.takes) - {"seeds"}) == (example.choose is not None), name


def test_other_slopes_and_betas_are_proved_and_played(tmp_path: Path) -> None:
    wish = wishes.read("10,-3,-3,-3", "0.1,1/5")
    found = judge(wishes.chosen(find("reddi-period"), wish), Asked(steps=30_000))
    assert (found.verdict, found.level, found.reasons) == (Verdict.REFUTED, Level.SMT, [])
    assert found.steps[-1].text == "D < 0 at β = (1/10, 1/5)"
    for run in found.runs:
        end = -1 if "AMSGrad" in run.method else 1
        assert abs(float(run.found["x at the end"]) - end) < 0.1
    status, text = printed("reddi-period", steps=300, wish=wish, plot=tmp_path / "out.png")
    assert status == 0
    assert "slopes 10, 3×(-3)" in text


def test_the_losses_of_other_betas_are_constructed() -> None:
    wish = wishes.read(betas="1/2,1/2")
    example = wishes.chosen(find("reddi-general-beta"), wish)
    found = judge(example, Asked(steps=100))
    assert (found.verdict, found.reasons) == (Verdict.REFUTED, [])
    assert "β = (1/2, 1/2)" in found.example.object


def test_another_c_is_in_every_part(tmp_path: Path) -> None:
    wish = Chosen(C=Fraction(4))
    found = judge(wishes.chosen(find("reddi-online"), wish), Asked(steps=300))
    assert (found.verdict, found.level, found.reasons) == (Verdict.REFUTED, Level.EXACT, [])
    assert {row[0] for row in found.evidence.rows} == {"4"}
    assert "C = 4" in found.example.object
    assert "C = 4" in found.example.headline
    assert "average regret" in found.runs[0].found
    assert float(found.runs[0].found["average regret"]) >= 2 * (4 - 2) / 3


def test_seeds_are_taken_where_something_is_random() -> None:
    example = wishes.chosen(find("reddi-stochastic"), Chosen(), seeds=5)
    assert example is find("reddi-stochastic")


@pytest.mark.parametrize("slope", [Fraction(10**400), Fraction(10**151), Fraction(-(10**200))])
def test_a_gradient_that_no_float_holds_is_one_sentence(slope: Fraction) -> None:
    with pytest.raises(ValueError, match=r"a gradient beyond 1e\+150 has a square that is no float64"):
        Pattern((slope, Fraction(-1)))


# -- guests ----------------------------------------------------------------------------------------

HEAVY = "torch.optim:SGD(momentum=10.0)"


@pytest.mark.parametrize(
    ("name", "guest", "told"),
    [
        ("wilson-separable", HEAVY, "diverges, or cannot take these numbers: (34,"),
        ("adam-limit-cycle", HEAVY, "diverges, beyond 1e+100"),
        ("bf16-freeze", "torch.optim:SGD(lr=1e300)", "cannot take these numbers: value cannot be"),
        ("reddi-stochastic", HEAVY, "diverges, beyond 1e+100"),
    ],
)
def test_a_guest_that_diverges_is_an_outcome(name: str, guest: str, told: str, tmp_path: Path) -> None:
    seeds = 5 if name == "reddi-stochastic" else None
    status, text = printed(name, steps=700, seeds=seeds, optimizer=guest, plot=tmp_path / "o.png")
    assert status == 0
    assert told in " ".join(text.split())
    assert (tmp_path / "o.png").exists()


def test_a_failure_without_a_guest_is_no_outcome() -> None:
    def broken(_: Asked) -> Any:
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours"):
        wishes.runs(replace(reddi_period.COUNTEREXAMPLE, runs=broken), Asked())
    with pytest.raises(ZeroDivisionError, match="ours"):
        wishes.runs(
            replace(reddi_period.COUNTEREXAMPLE, runs=broken), Asked(optimizer=("guest", lambda p: p))
        )


def test_numbers_are_found_wherever_they_are() -> None:
    value = {"a": [1, (2.0, np.array([3.0, 4.0]))], "b": Asked(steps=5), "c": "text", "d": None}
    assert sorted(wishes._floats(value)) == [1, 2, 3, 4, 5]
