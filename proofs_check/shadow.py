"""Shadow every tensor with a formula while an optimizer's own code runs.

A `TorchFunctionMode` sees each torch operation, runs it on the real numbers, and gives the result
the formula that ``operations`` names.  What is not named there stops the lift: no tensor ever exists
without a formula.  Below it a `TorchDispatchMode` sees what reaches torch's kernels by other ways
(scripted code, disabled torch functions), and stops the lift.

Every tensor has one element, so a formula belongs to a place in memory; views share it.  Beside the
formula stands the number that was there.  A place whose number is another one when it is read, by an
operation or at the end, was written by something that neither mode saw: NumPy, another thread.  And
the numbers themselves go through the table's formula, so that an operation that does not do what its
name says stops the lift too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any, Self

import sympy as sp
import torch
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanAtom
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ..theory.identity import Budget, Checker, Unsupported
from ..theory.symbols import DOMAINS
from . import operations as ops
from .symbolic import LiftError, SymbolicFloat, branch, exact, plain, stop

#: A tensor whose memory was not written yet (``empty_like``): reading it stops the lift.
UNWRITTEN = sp.Symbol("unwritten_memory")
_INEXACT = (sp.Float, sp.I, sp.zoo, sp.oo, -sp.oo, sp.nan)
#: The outcome of a comparison; SymPy's symbols are its Booleans too.
_TRUTH = (Relational, BooleanAtom)
#: Rounding coarser than this is no small error beside a formula over the reals.
COARSE = 1e-6


@dataclass(frozen=True)
class _Place:
    """What the memory of one number holds; ``memory`` keeps it from being given to another."""

    formula: sp.Expr
    number: float
    memory: torch.Tensor


@dataclass(frozen=True)
class _Operand:
    """An argument of an operation: its formula and its number, or the same thing that is neither."""

    formula: Any
    number: Any


class _Guard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Stops at every kernel that runs while the shadow above does not look."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run a kernel, if the shadow knows of it."""
        if not self.seen:
            name = str(func).removeprefix("aten.").partition(".")[0]
            if name not in ops.SAME_MEMORY:
                stop(name, "runs in a way that the lifter does not see")
        return func(*args, **(kwargs or {}))


class Shadow(TorchFunctionMode):
    """The mode: holds the formula of every tensor that the code under it touches.

    Attributes:
        rounding: relative error of the coarsest rounding that was seen beyond float64's.
        definitions: symbol -> the formula that it was given to, in the order of the code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rounding = 0.0
        self.definitions: dict[sp.Symbol, sp.Expr] = {}
        self._at: dict[tuple[int, int], _Place] = {}
        self._named: dict[sp.Expr, sp.Symbol] = {}
        self._places: dict[tuple[int, int], tuple[sp.Expr, sp.Symbol]] = {}
        self._back: dict[sp.Symbol, sp.Expr] = {}
        self._torch_error: Exception | None = None
        self._guard = _Guard()

    def __enter__(self) -> Self:
        """Put both modes on."""
        self._guard.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        """Take both modes off."""
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self._guard.__exit__(*raised)  # type: ignore[no-untyped-call]

    # -- formulas by memory --------------------------------------------------------------------

    def put(self, tensor: torch.Tensor | None, formula: Any) -> None:
        """Give a tensor a formula.

        Raises:
            LiftError: the tensor is not one real number, or the formula is none.
        """
        assert tensor is not None
        with torch._C.DisableTorchFunction():
            dtype, memory = tensor.dtype, tensor.detach()
        key, number, formula = place_of(tensor), number_of(tensor), sp.sympify(formula)
        infinite = formula is sp.zoo and math.isinf(number)  # torch's RAdam divides by it next
        if not infinite and formula != UNWRITTEN:
            if not math.isfinite(number):
                stop("making a tensor", f"of {number} leaves the finite numbers")
            if not isinstance(formula, sp.Expr) or formula.has(*_INEXACT):
                stop("making a tensor", f"of {formula} is no exact real number")
        whole = dtype in (torch.int32, torch.int64) and formula.is_integer
        if not (dtype.is_floating_point or whole):
            stop("making a tensor", f"of {dtype} is no real number")
        if self._named:
            formula = self._shown(key, formula)
        self._at[key] = _Place(formula, number, memory)

    def _shown(self, key: tuple[int, int], formula: sp.Expr) -> sp.Expr:
        flat = formula.xreplace(self._back)
        name = self._named.get(flat)
        if name is None and key in self._places and same(flat, self._places[key][0]):
            name = self._places[key][1]
        if name is None:
            return formula
        self._back[name] = flat
        self.definitions.setdefault(name, formula)
        return name

    def name_when(self, tensor: torch.Tensor, final: sp.Expr, name: sp.Symbol) -> None:
        """Show a tensor as ``name`` once it holds the formula ``final``, known to be a new state.

        This is how ``exp_avg`` becomes m_t in the lines after its update.  Any tensor with that
        very formula is shown so; the state tensor itself also when only the checker sees it.
        """
        if not final.is_Atom:
            self._named[final] = name
            self._places[place_of(tensor)] = (final, name)

    def get(self, tensor: torch.Tensor, what: str = "reading a tensor") -> sp.Expr:
        """Return the formula of a tensor.

        Raises:
            LiftError: it has none, because it was made outside the optimizer's step, or its memory
                was written by something that the mode did not see.
        """
        formula = self._read(tensor, what).formula
        if formula is sp.zoo:
            stop(what, "meets a division by zero")
        return formula

    def _read(self, tensor: torch.Tensor, what: str) -> _Place:
        place = self._at.get(place_of(tensor))
        if place is None or place.formula == UNWRITTEN:
            stop(what, "meets a tensor whose formula is not known")
        if number_of(tensor) != place.number:
            stop(what, "meets a tensor that an operation that the lifter did not see has changed")
        return place

    def _operand(self, value: Any, what: str) -> _Operand:
        if isinstance(value, torch.Tensor):
            place = self._read(value, what)
            if isinstance(place.formula, _TRUTH):
                stop(what, f"is given the comparison {place.formula}, which only where takes")
            return _Operand(place.formula, place.number)
        if isinstance(value, Number):
            return _Operand(exact(value, what), plain(value))
        return _Operand(value, value)

    # -- the operations ------------------------------------------------------------------------

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one torch operation for real and give its result a formula."""
        name = getattr(func, "__name__", str(func)).split(".")[0]
        self._guard.seen += 1
        try:
            return self._dispatch(func, name, args, kwargs or {})
        except LiftError:
            raise
        except Exception as error:
            if error is self._torch_error:  # the optimizer would meet it without the lifter too
                raise
            stop(name, f"is beyond the lifter ({type(error).__name__}: {error})")
        finally:
            self._guard.seen -= 1

    def _really(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            return func(*plain(args), **plain(kwargs))
        except Exception as error:
            self._torch_error = error
            raise

    def _dispatch(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if name in ("__get__", "__set__", "__delete__"):
            return self._attribute(func, name, args)
        if name in ops.METADATA:
            return self._really(func, args, kwargs)
        if name == "item":
            place = self._read(args[0], name)
            return SymbolicFloat(place.number, place.formula)
        if name.startswith("_foreach_"):
            return self._foreach(func, name, args, kwargs)
        if name in ops.RELATIONS:
            return self._compare(func, name, args, kwargs)
        if name == "where":
            return self._choose(func, name, args, kwargs)
        if name in ops.EMPTY:
            result = self._really(func, args, kwargs)
            self.put(result, UNWRITTEN)
            return result
        return self._operate(func, name, args, kwargs)

    def _compare(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Compare, and keep the relation for a ``where``; nothing else takes a truth."""
        left, right = (self._operand(a, name) for a in args)
        result = self._really(func, args, kwargs)
        number, relation = number_of(result), ops.RELATIONS[name]
        if bool(number) != bool(relation(left.number, right.number)):
            stop(name, f"of {left.number:.9g} and {right.number:.9g} came out otherwise than it should")
        with torch._C.DisableTorchFunction():
            memory = result.detach()
        self._at[place_of(result)] = _Place(relation(left.formula, right.formula), number, memory)
        return result

    def _choose(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Take the side that the condition takes, and record the branch."""
        if len(args) != 3 or not isinstance(args[0], torch.Tensor):
            stop(name, "was called in a way that the lifter has no meaning for")
        truth = self._read(args[0], name)
        if not isinstance(truth.formula, _TRUTH):
            stop(name, "is given a condition that is no comparison")
        sides = [self._operand(a, name) for a in args[1:]]
        result = self._really(func, args, kwargs)
        taken = sides[0 if branch(truth.formula, bool(truth.number)) else 1]
        self._settle_result(result, name, ops.unchanged, [taken], {})
        return result

    def _attribute(self, func: Any, kind: str, args: tuple[Any, ...]) -> Any:
        attribute = getattr(func.__self__, "__name__", "?")
        if attribute in ops.ATTRIBUTES or attribute in ops.TENSOR_ATTRIBUTES:
            return self._really(func, args, {})
        if kind == "__get__" and attribute.startswith("__"):
            return self._really(func, args, {})
        stop(f"Tensor.{attribute}", "is not modelled")

    def _operate(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        meaning = _meaning(name)
        shown = args
        if name in ops.FACTORIES:
            shown = _contents(name, args)
        elif name.removesuffix("_") in ops.OVERWRITES:  # what was there before is not read
            shown = (None, *args[1:])
        operands = [self._operand(a, name) for a in shown]
        named = {k: self._operand(v, name) for k, v in kwargs.items() if k != "out"}
        result = self._really(func, args, kwargs)
        if not isinstance(result, torch.Tensor):
            stop(name, f"returned {type(result).__name__}, not a tensor")
        self._settle_result(result, name, meaning, operands, named)
        return result

    def _foreach(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        bare = name.removeprefix("_foreach_")
        meaning = _meaning(bare, name)
        lists = [a for a in (*args, *kwargs.values()) if isinstance(a, list | tuple)]
        overwrites = bare.removesuffix("_") in ops.OVERWRITES

        def at(value: Any, index: int) -> _Operand:
            if overwrites and value is args[0]:
                return _Operand(None, None)
            return self._operand(value[index] if isinstance(value, list | tuple) else value, name)

        operands = [
            ([at(a, i) for a in args], {k: at(v, i) for k, v in kwargs.items()})
            for i in range(max(map(len, lists), default=0))
        ]
        result = self._really(func, args, kwargs)
        targets = args[0] if bare.endswith("_") else result
        for tensor, (positional, named) in zip(targets, operands, strict=True):
            self._settle_result(tensor, name, meaning, positional, named)
        return result

    def _settle_result(
        self,
        result: torch.Tensor,
        name: str,
        meaning: Callable[..., Any],
        operands: Sequence[_Operand],
        named: dict[str, _Operand],
    ) -> None:
        """Give a result its formula, once the same formula of the numbers gives its number."""
        try:
            formula = meaning(*(o.formula for o in operands), **{k: o.formula for k, o in named.items()})
            if isinstance(formula, sp.Expr) and formula.has(sp.zoo):
                formula = sp.zoo  # SymPy keeps zoo * (sqrt(v) + eps), lest v and eps vanish
            else:
                expected = meaning(
                    *(o.number for o in operands), **{k: o.number for k, o in named.items()}
                )
                self._confirm(result, name, expected, (*operands, *named.values()))
        except TypeError:
            stop(name, "was called in a way that the lifter has no meaning for")
        except ArithmeticError:
            stop(name, "leaves the finite numbers")
        self.put(result, formula)

    def _confirm(
        self, result: torch.Tensor, name: str, expected: Any, operands: Iterable[_Operand]
    ) -> None:
        """Check a number against what the table says, and note how coarsely it was rounded."""
        with torch._C.DisableTorchFunction():
            dtype = result.dtype
        number = number_of(result)
        if not math.isfinite(number):
            return  # `put` tells what is wrong
        if not sp.sympify(expected).is_real:
            stop(name, "leaves the real numbers")
        sizes = [abs(o.number) for o in operands if isinstance(o.number, int | float)]
        scale = abs(float(expected)) + sum(s for s in sizes if math.isfinite(s))
        unit = torch.finfo(dtype).eps if dtype.is_floating_point else 0.0
        error = abs(number - float(expected))
        if error > 64 * max(unit, 2**-52) * scale:
            stop(name, f"gave {number:.9g} where its meaning gives {float(expected):.9g}")
        if error > 2**-44 * scale:
            if unit > COARSE:
                stop(name, f"rounds to {dtype}, which no formula over the real numbers describes")
            self.rounding = max(self.rounding, unit)


def _meaning(bare: str, name: str = "") -> Callable[..., Any]:
    """Return the formula of an operation, whether it makes a tensor or changes one in place.

    Raises:
        LiftError: the table does not name it.
    """
    if bare in ops.SHAPE_ONLY:
        return ops.unchanged
    for table in (ops.REFLECTED, ops.FACTORIES):
        if bare in table:
            return table[bare]
    stem = ops.OPERATORS.get(bare, bare.removesuffix("_"))
    if stem not in ops.ELEMENTWISE:
        if bare in ops.NUMBERS:
            stop(f"Tensor.{bare}", "would turn a tensor into a plain number")
        stop(name or bare, "is not modelled")
    return ops.ELEMENTWISE[stem]


def _contents(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a factory's arguments with the number that ``tensor([[lr]])`` is about unpacked."""
    values = args[1:] if name.startswith("new_") else args
    while values and isinstance(values[0], list | tuple) and name in ("tensor", "as_tensor"):
        if len(values[0]) != 1:
            stop(name, "makes a tensor of more than one element")
        values = (values[0][0], *values[1:])
    return values


def place_of(tensor: torch.Tensor) -> tuple[int, int]:
    """Return the place in memory that a tensor of one element shows."""
    with torch._C.DisableTorchFunction():
        return tensor.untyped_storage()._cdata, int(tensor.storage_offset())


def number_of(tensor: torch.Tensor) -> float:
    """Return the number that a tensor holds, unseen by any mode.

    Raises:
        LiftError: it holds none or more than one.
    """
    with torch._C.DisableTorchFunction():
        if tensor.numel() != 1:
            stop("using a tensor", f"of {tensor.numel()} elements has no meaning for one coordinate")
        return float(tensor.item())


def same(a: sp.Expr, b: sp.Expr) -> bool:
    """Return whether two formulas are equal, as they stand or by the small checker."""
    if a == b:
        return True
    try:
        return Checker(DOMAINS).is_zero(a - b)
    except (Unsupported, Budget):
        return False
