"""Shadow every tensor with a formula while an optimizer's own code runs.

A `TorchFunctionMode` sees each torch operation, runs it on the real numbers, and gives the result
the formula that ``operations`` names.  What is not named there stops the lift: no tensor ever exists
without a formula.

Every tensor has one element, so a formula belongs to a place in memory; views share it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import sympy as sp
import torch
from torch.overrides import TorchFunctionMode

from ..theory.identity import Budget, Checker, Unsupported
from ..theory.symbols import DOMAINS
from . import operations as ops
from .symbolic import LiftError, SymbolicFloat, caller, exact, plain, stop

#: A tensor whose memory was not written yet (``empty_like``): reading it stops the lift.
UNWRITTEN = sp.Symbol("unwritten_memory")


class Shadow(TorchFunctionMode):
    """The mode: holds the formula of every tensor that the code under it touches.
    """

    def __init__(self) -> None:
        super().__init__()
        self._formulas: dict[tuple[int, int], sp.Expr] = {}
        self._alive: list[torch.Tensor] = []
        self._named: dict[sp.Expr, sp.Symbol] = {}
        self._places: dict[tuple[int, int], tuple[sp.Expr, sp.Symbol]] = {}
        self._back: dict[sp.Symbol, sp.Expr] = {}
        #: symbol -> the formula that it was given to, in the order of the code
        self.definitions: dict[sp.Symbol, sp.Expr] = {}

    # -- formulas by memory --------------------------------------------------------------------

    @staticmethod
    def key(tensor: torch.Tensor) -> tuple[int, int]:
        """Return the place in memory that the tensor shows."""
        with torch._C.DisableTorchFunction():
            return tensor.untyped_storage()._cdata, tensor.storage_offset()

    def put(self, tensor: torch.Tensor, formula: Any) -> None:
        """Give a tensor a formula.

        Raises:
            LiftError: the tensor has more than one element.
        """
        with torch._C.DisableTorchFunction():
            size = tensor.numel()
        if size != 1:
            stop("making a tensor", f"of {size} elements has no meaning for one coordinate")
        key = self.key(tensor)
        formula = sp.sympify(formula)
        if self._named:
            flat = formula.xreplace(self._back)
            name = self._named.get(flat)
            if name is None and key in self._places and same(flat, self._places[key][0]):
                name = self._places[key][1]
            if name is not None:
                self._back[name] = flat
                self.definitions.setdefault(name, formula)
                formula = name
        self._formulas[key] = formula
        self._alive.append(tensor)

    def name_when(self, tensor: torch.Tensor, final: sp.Expr, name: sp.Symbol) -> None:
        """Show a tensor as ``name`` once it holds the formula ``final``, known to be a new state.

        This is how ``exp_avg`` becomes m_t in the lines after its update.  Any tensor with that
        very formula is shown so; the state tensor itself also when only the checker sees it.
        """
        if not final.is_Atom:
            self._named[final] = name
            self._places[self.key(tensor)] = (final, name)

    def get(self, tensor: torch.Tensor, what: str = "reading a tensor") -> sp.Expr:
        """Return the formula of a tensor.

        Raises:
            LiftError: it has none, because it was made outside the optimizer's step.
        """
        formula = self._formulas.get(self.key(tensor))
        if formula is None or formula == UNWRITTEN:
            stop(what, "meets a tensor whose formula is not known")
        return formula

    def _formula(self, value: Any, what: str) -> Any:
        if isinstance(value, torch.Tensor):
            return self.get(value, what)
        if isinstance(value, int | float):
            return exact(value, what)
        return value

    # -- the operations ------------------------------------------------------------------------

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one torch operation for real and give its result a formula."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func)).split(".")[0]
        if name in ("__get__", "__set__", "__delete__"):
            return self._attribute(func, name, args)
        if name in ops.METADATA:
            return func(*plain(args), **plain(kwargs))
        try:
            return self._operate(func, name, args, kwargs)
        except TypeError as error:
            if "argument" not in str(error) and "rounding_mode" not in str(error):
                raise
            stop(name, "was called in a way that the lifter has no meaning for")

    def _attribute(self, func: Any, kind: str, args: tuple[Any, ...]) -> Any:
        attribute = getattr(func.__self__, "__name__", "?")
        if attribute in ops.ATTRIBUTES or attribute in ops.TENSOR_ATTRIBUTES:
            return func(*args)
        if kind == "__get__" and attribute.startswith("__"):
            return func(*args)
        stop(f"Tensor.{attribute}", "is not modelled")

    def _operate(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if name == "item":
            return SymbolicFloat(float(func(*args)), self.get(args[0], name))
        if name.startswith("_foreach_"):
            return self._foreach(func, name, args, kwargs)
        if name in ops.SHAPE_ONLY:
            return self._reshape(func, name, args, kwargs)
        if name in ("empty_like", "empty", "new_empty"):
            return self._result(func(*plain(args), **plain(kwargs)), UNWRITTEN)
        if name in ops.FACTORIES:
            return self._factory(func, name, args, kwargs)
        meaning, in_place = self._meaning(name)
        out = kwargs.pop("out", None)
        formula = meaning(
            *(self._formula(a, name) for a in args),
            **{k: self._formula(v, name) for k, v in kwargs.items()},
        )
        real = {**plain(kwargs), **({"out": out} if out is not None else {})}
        result = func(*plain(args), **real)
        if in_place and result is not args[0]:
            self.put(args[0], formula)
        return self._result(result, formula)

    def _meaning(self, name: str) -> tuple[Callable[..., Any], bool]:
        if name in ops.REFLECTED:
            return ops.REFLECTED[name], False
        if name in ops.OPERATORS:
            return ops.ELEMENTWISE[ops.OPERATORS[name]], name.startswith("__i")
        bare = name.removesuffix("_")
        if bare not in ops.ELEMENTWISE:
            if name in ("__float__", "__int__", "__bool__", "__index__", "tolist", "numpy"):
                stop(f"Tensor.{name}", "would turn a tensor into a plain number")
            stop(name, "is not modelled")
        return ops.ELEMENTWISE[bare], name != bare

    def _result(self, result: Any, formula: sp.Expr) -> Any:
        if not isinstance(result, torch.Tensor):
            stop("an operation", f"returned {type(result).__name__}, not a tensor")
        self.put(result, formula)
        return result

    def _factory(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        values = [a for a in args if not (name.startswith("new_") and a is args[0])]
        while values and isinstance(values[0], list | tuple) and name in ("tensor", "as_tensor"):
            if len(values[0]) != 1:
                stop(name, "makes a tensor of more than one element")
            values = [values[0][0], *values[1:]]
        formula = ops.FACTORIES[name](*values, **kwargs)
        formula = self._formula(formula, name)
        return self._result(func(*plain(args), **plain(kwargs)), formula)

    def _reshape(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        formula = self.get(args[0], name)
        result = func(*args, **kwargs)
        if isinstance(result, str):  # Tensor.type() without arguments is a name
            return result
        if not result.dtype.is_floating_point:
            stop(name, f"makes a tensor of {result.dtype}, which is no real number")
        return self._result(result, formula)

    def _foreach(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        meaning, in_place = self._meaning(name.removeprefix("_foreach_"))
        everything = (*args, *kwargs.values())
        count = max((len(a) for a in everything if isinstance(a, list | tuple)), default=0)

        def at(value: Any, index: int) -> Any:
            one = value[index] if isinstance(value, list | tuple) else value
            return self._formula(one, name)

        formulas = [
            meaning(*(at(a, i) for a in args), **{k: at(v, i) for k, v in kwargs.items()})
            for i in range(count)
        ]
        result = func(*plain(args), **plain(kwargs))
        targets = args[0] if in_place else result
        for tensor, formula in zip(targets, formulas, strict=True):
            self.put(tensor, formula)
        return result


def same(a: sp.Expr, b: sp.Expr) -> bool:
    """Return whether two formulas are equal, as they stand or by the small checker."""
    if a == b:
        return True
    try:
        return Checker(DOMAINS).is_zero(a - b)
    except (Unsupported, Budget):
        return False


def source_of(cls: type) -> str:
    """Return the source that a class is bound to: its module's, else its functions', else its code.

    A class made in a notebook has functions with a source, but no module with one.
    """
    module: ModuleType | None = inspect.getmodule(cls)
    try:
        return inspect.getsource(module if module is not None else cls)
    except (OSError, TypeError):
        pass
    parts = []
    for value in vars(cls).values():
        function = inspect.unwrap(value) if callable(value) else None
        if inspect.isfunction(function):
            try:
                parts.append(inspect.getsource(function))
            except (OSError, TypeError):
                parts.append(function.__code__.co_code.hex())
    return "\n".join(parts)
