"""`adamproof lift` as programs and people meet it: JSON that SymPy reads, one sentence when it fails."""

import json
from pathlib import Path
from typing import Any

import pytest
import sympy as sp

from adamproof import cli
from adamproof.lifting import record
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.lift import lift, unrolled
from adamproof.proofs_check.shadow import same
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.theory import symbols as sym

from . import leaky_steps
from .test_lift import RECIPES, lifted

MINE = '''
import abc, sys, torch

class Twice(torch.optim.Optimizer):
    """Twice the step that SGD takes."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(2 * group["lr"] * p.grad)

class Once(Twice):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad)

class Refuses(Twice):
    def __init__(self, params, lr=0.1):
        raise ValueError("not today")

class Leaves(Twice):
    def __init__(self, params, lr=0.1):
        sys.exit(3)

class Raises(Twice):
    def step(self, closure=None):
        raise RuntimeError("no step")

class Exits(Twice):
    def step(self, closure=None):
        sys.exit("goodbye")

class Silent(Twice):
    def step(self, closure=None):
        raise NotImplementedError

class Abstract(Twice, abc.ABC):
    @abc.abstractmethod
    def step(self, closure=None): ...

class NoStep(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

class Needs(Twice):
    def __init__(self, params, lr=0.1, *, model):
        super().__init__(params, lr)

def function(params):
    return Twice(params)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's project, as the current folder."""
    (tmp_path / "leaky_mine.py").write_text(MINE)
    (tmp_path / "leaky_raises.py").write_text("raise RuntimeError('half a module')")
    (tmp_path / "leaky_exits.py").write_text("import sys; sys.exit(4)")
    (tmp_path / "leaky_syntax.py").write_text("def (:")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    """Run the command line in this process: status, standard output, standard error."""
    monkeypatch.setattr("sys.argv", ["adamproof", "lift", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    out = capsys.readouterr()
    return int(stopped.value.code or 0), out.out, out.err


# -- JSON -------------------------------------------------------------------------------------------


def read_back(text: str, expr: sp.Basic, listed: dict[str, Any]) -> bool:
    """Whether SymPy reads the string as the expression, over the symbols that are listed."""
    read = sp.sympify(text)
    assert {s.name for s in read.free_symbols} <= listed.keys()
    symbols = {s.name: s for s in expr.free_symbols}
    read = read.xreplace({s: symbols[s.name] for s in read.free_symbols})
    return read == expr or same(read.doit(), expr)


@pytest.mark.parametrize("name", RECIPES)
def test_every_formula_is_read_back(name: str) -> None:
    found = lifted(name)
    told = json.loads(json.dumps(record(builtin()[name], found, None)))
    assert list(told) == ["subject", "mode", "state", "initial", "transition", "regimes", "branches",
                          "symbols", "code_hash"]  # fmt: skip
    assert (told["subject"], told["mode"]) == (name, "inductive")
    assert told["state"] == list(found.rule.initial)
    assert told["code_hash"] == found.code_hash
    for entry, expr in found.rule.transition().items():
        assert read_back(told["transition"][entry], expr, told["symbols"])
    for entry, expr in found.rule.initial.items():
        assert sp.sympify(told["initial"][entry]) == expr
    for shown, regime in zip(told["regimes"], found.rule.regimes, strict=True):
        for entry, expr in found.rule.transition(regime).items():
            assert read_back(shown["transition"][entry], expr, told["symbols"])
        for text, condition in zip(shown["when"], regime.when, strict=True):
            read = sp.sympify(text)
            assert type(read) is type(condition)
            assert read_back(str(read.lhs - read.rhs), condition.lhs - condition.rhs, told["symbols"])
    for branch in told["branches"]:
        assert isinstance(branch["taken"], bool)
        assert {s.name for s in sp.sympify(branch["condition"]).free_symbols} <= told["symbols"].keys()
    assert told["symbols"]["alpha"] == {"domain": "positive", "meaning": "> 0", "option": "lr"}


def test_unrolled_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(monkeypatch, capsys, "torch.optim:RAdam", "--unroll", "2", "--json")
    assert status == 0, err
    told = json.loads(out)
    new = unrolled(RECIPES["torch.optim:RAdam"], 2)
    assert told["mode"] == "unrolled"
    assert {"x", "g1", "g2", "alpha"} <= told["symbols"].keys()
    assert told["transition"].keys() == {"x", "exp_avg", "exp_avg_sq"}
    for entry, expr in new.new.items():
        assert read_back(told["transition"][entry], expr, told["symbols"])
    assert [b["taken"] for b in told["branches"]] == [False, False]


def test_names_that_sympy_knows_get_an_underscore() -> None:
    recipe = Recipe(leaky_steps.NamedLikeSymbols)
    told = record(Subject("mine", "user", recipe), lift(recipe), None)
    assert {"gamma_", "S_", "x_", "g_", "t_"} <= told["symbols"].keys()
    assert told["symbols"]["gamma_"]["option"] == "gamma"
    read = sp.sympify(told["transition"]["x"])
    assert {s.name for s in read.free_symbols} <= told["symbols"].keys()
    assert all(isinstance(sp.sympify(name), sp.Symbol) for name in told["symbols"])


def test_state_names_that_sympy_knows() -> None:
    for name in ("sum", "S", "gamma", "alpha", "step", "g", "lambda", "N"):
        assert isinstance(sp.sympify(sym.old(name).name), sp.Symbol)
        assert isinstance(sp.sympify(sym.new(name).name), sp.Symbol)


# -- printing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("--latex",), ("--unroll", "2"), ("--unroll", "1", "--latex")])
def test_lift_prints(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(monkeypatch, capsys, "torch.optim:AdamW", "-o", "weight_decay=0.1", *words)
    assert (status, err) == (0, "")
    assert ("\\beta" if "--latex" in words else "β₁") in out
    assert "Symbol(" not in out
    assert "**" not in out


def test_against(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(monkeypatch, capsys, "leaky_mine:Once", "--against", "sgd")
    assert status == 0
    assert "equal to paper:sgd for every t (exact)" in out
    status, out, _ = run(monkeypatch, capsys, "leaky_mine:Twice", "--against", "sgd")
    assert status == 1
    assert "they differ at g1 = 1, alpha = 1, from x = 2:" in out
    assert "exactly by 1; on the real optimizer by 1 " in out
    for name, expected in (("Once", 0), ("Twice", 1)):
        words = (f"leaky_mine:{name}", "--against", "sgd", "--json")
        status, out, _ = run(monkeypatch, capsys, *words)
        assert status == expected
        assert json.loads(out)["transition"]["x"] == f"{'-2*' * expected or '-'}alpha*g + x"


# -- bad input --------------------------------------------------------------------------------------

BAD: dict[tuple[str, ...], str] = {
    ("torch.optim:Adamm",): "torch.optim has no class 'Adamm'; did you mean Adam",
    ("Adam",): "a class of your own is written module:Class",
    ("torch.optim:",): "has no class ''",
    (":Adam",): "does not import",
    ("no_such_module:Adam",): "ModuleNotFoundError",
    ("leaky_raises:Adam",): "half a module",
    ("leaky_exits:Adam",): "(SystemExit: 4)",
    ("leaky_syntax:Adam",): "SyntaxError",
    ("torch.nn:Linear",): "is no torch.optim.Optimizer class",
    ("leaky_mine:function",): "is no torch.optim.Optimizer class",
    ("leaky_mine:Refuses",): "the constructor Refuses(lr=0.1) fails: not today",
    ("leaky_mine:Leaves",): "the constructor Leaves(lr=0.1) fails: 3",
    ("leaky_mine:Raises",): "Raises.step() fails: RuntimeError: no step",
    ("leaky_mine:Exits",): "Exits.step() fails: SystemExit: goodbye",
    ("leaky_mine:Silent",): "Silent.step() fails: NotImplementedError\n",
    ("leaky_mine:Abstract",): "abstract",
    ("leaky_mine:NoStep",): "has no step() of its own",
    ("leaky_mine:Needs",): "needs the option 'model'",
    ("torch.optim:Optimizer",): "has no step() of its own",
    ("torch.optim:Adam", "-o", "bets=1"): "Adam has no option 'bets'",
    ("torch.optim:Adam", "-o", "lr"): "NAME=VALUE",
    ("torch.optim:Adam", "-o", "=1"): "NAME=VALUE",
    ("torch.optim:Adam", "-o", "lr=-1"): "Invalid learning rate: -1",
    ("torch.optim:Adam", "-o", "betas=0.9,1.5"): "Invalid beta parameter at index 1: 1.5",
    ("torch.optim:Adam", "-o", "eps=nan"): "finite number",
    ("torch.optim:Adam", "-o", "eps=-inf"): "finite number",
    ("torch.optim:Adam", "-o", "lr=abc"): "the constructor Adam(lr='abc'",
    ("torch.optim:Adam", "--unroll", "-1"): "1 or more",
    ("torch.optim:Adam", "--unroll", "1000000"): "unroll 100 at most",
    ("torch.optim:Adam", "--unroll", "40"): "unroll fewer steps",
    ("torch.optim:Adam", "--unroll", "two"): "--unroll",
    ("torch.optim:Adam", "--against", "adamm"): "did you mean adam",
    ("paper:adam",): "not lifted from code",
    ("torch.optim:LBFGS",): "LBFGS.step() needs 'closure'",
    ("torch.optim:SparseAdam",): "does not support dense gradients",
    ("torch.optim:Muon",): "only supports 2D parameters",
    ("torch.optim:Rprop",): "the operation __setitem__",
    ("torch.optim:ASGD",): "differs from coordinate to coordinate",
    ("torch.optim:Adafactor",): "the operation norm is not modelled",
    ("torch.optim:Adam", "-o", "fused=True"): "the operation _fused_adam_ is not modelled",
}  # fmt: skip


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_bad_input_is_one_sentence(
    words: tuple[str, ...],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, out, err = run(monkeypatch, capsys, *words)
    assert (status, out) == (2, "")
    assert BAD[words] in err
    assert err.startswith("adamproof: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_an_error_names_the_user_s_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "leaky_sums.py").write_text(MINE.replace("p.sub_(2 * ", "p.sub_(p.grad.sum() * "))
    line = 1 + MINE.splitlines().index('                p.sub_(2 * group["lr"] * p.grad)')
    _, _, err = run(monkeypatch, capsys, "leaky_sums:Twice")
    assert f"the operation sum is not modelled (at {folder / 'leaky_sums.py'}:{line})" in err


def test_false_is_false(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(monkeypatch, capsys, "torch.optim:Adam", "-o", "amsgrad=false", "--json")
    assert status == 0
    assert json.loads(out)["state"] == ["exp_avg", "exp_avg_sq"]
