"""What is judged: the papers' rules, torch.optim, ours, and any class a user names.

A subject is an id, a rule and, for code, the recipe that builds the real optimizer.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from ..theory.faithful import paper_of
from ..theory.rule import Rule, pruned
from ..theory.rules import RULES, named
from ..theory.rules_decay import FORMS
from .build import Recipe
from .lift import Lift, lift
from .symbolic import LiftError


class UnknownSubject(Exception):
    """The subject does not exist, cannot be imported or is no optimizer."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One thing that claims are about.

    Attributes:
        id: ``paper:adam``, ``torch.optim:Adam(amsgrad=True)``, ``my_pkg.optim:MyAdam``.
        kind: ``paper``, ``torch``, ``ours`` or ``user``.
        recipe: how to build the optimizer; None for a paper's rule.
        against: the paper's rule that it is said to run.
    """

    id: str
    kind: str
    recipe: Recipe | None = None
    against: str = ""

    @property
    def compiled(self) -> bool:
        """Whether it runs as a kernel, which no lift sees into."""
        return self.recipe is not None and self.recipe.options.get("compiled") is True

    @property
    def readable(self) -> Recipe | None:
        """The recipe; of a compiled form, that of the code it is made from."""
        if self.recipe is None or not self.compiled:
            return self.recipe
        return replace(self.recipe, options={**self.recipe.options, "compiled": False})

    @cached_property
    def lifted(self) -> Lift | None:
        """The lift of the code that can be read, made once; None for a paper's rule."""
        return None if self.readable is None else lift(self.readable)

    @cached_property
    def rule(self) -> Rule:
        """The rule that claims are judged on."""
        if self.lifted is None:
            return paper_of(self.against)
        return pruned(replace(self.lifted.rule, against=self.against))

    @cached_property
    def code_hash(self) -> str:
        """Identifies the formulas and the source that a verdict is bound to."""
        if self.lifted is None:
            return hashlib.sha256(self.rule.key.encode()).hexdigest()[:16]
        return self.lifted.code_hash


_RATES: dict[str, Any] = {"weight_decay": 0.1, "momentum": 0.9, "dampening": 0.5, "lr_decay": 0.1}

#: torch class, options, the paper's rule.
_TORCH: tuple[tuple[str, str, str], ...] = (
    ("SGD", "", "sgd"),
    ("SGD", "weight_decay", "sgd+l2"),
    ("SGD", "momentum", "sgd+momentum"),
    ("SGD", "momentum weight_decay", "sgd+momentum+l2"),
    ("SGD", "momentum nesterov", "sgd+momentum+nesterov"),
    ("SGD", "momentum dampening", "sgd+momentum+late-dampening"),
    ("Adagrad", "lr_decay", "adagrad"),
    ("Adagrad", "lr_decay weight_decay", "adagrad+l2"),
    ("RMSprop", "", "rmsprop"),
    ("RMSprop", "weight_decay", "rmsprop+l2"),
    ("RMSprop", "centered", "rmsprop+centered"),
    ("RMSprop", "momentum", "rmsprop+momentum"),
    ("RMSprop", "centered momentum", "rmsprop+centered+momentum"),
    ("Adam", "", "adam"),
    ("Adam", "weight_decay", "adam+l2"),
    ("Adam", "amsgrad", "amsgrad-after-max"),
    ("AdamW", "", "adamw"),
    ("AdamW", "amsgrad", "amsgrad-after-max+decay"),
    ("NAdam", "", "nadam"),
    ("RAdam", "", "radam"),
    ("Adamax", "", "adamax"),
    ("Adadelta", "", "adadelta"),
)

#: Our class, options, the paper's rule; each in its shipped, its reference and its compiled form.
_OURS: tuple[tuple[str, str, str], ...] = (
    ("SGD", "", "sgd"),
    ("SGD", "weight_decay", "sgd+l2"),
    ("SGD", "dampening", "sgd+dampening"),
    ("SGD", "momentum", "sgd+momentum"),
    ("SGD", "momentum weight_decay", "sgd+momentum+l2"),
    ("SGD", "momentum nesterov", "sgd+momentum+nesterov"),
    ("SGD", "momentum dampening", "sgd+momentum+dampening"),
    ("SGD", "momentum ema", "sgd+ema"),
    ("SGD", "momentum weight_decay decay=coupled", "sgd+momentum+decay-coupled"),
    ("SGD", "momentum weight_decay decay=uncoupled", "sgd+momentum+decay"),
    ("SignSGD", "", "sign"),
    ("SignSGD", "momentum", "sign+momentum"),
    ("Lion", "weight_decay", "lion"),
    ("Adagrad", "lr_decay", "adagrad"),
    ("Adagrad", "lr_decay weight_decay", "adagrad+l2"),
    ("RMSprop", "", "rmsprop"),
    ("RMSprop", "weight_decay", "rmsprop+l2"),
    ("RMSprop", "centered momentum", "rmsprop+centered+momentum"),
    ("RMSprop", "eps_inside", "rmsprop+eps-inside"),
    ("Adadelta", "", "adadelta"),
    ("Adam", "", "adam"),
    ("Adam", "weight_decay", "adam+l2"),
    ("Adam", "bias_correction=False", "adam-uncorrected"),
    ("Adam", "eps_beside=raw", "adam-eps-hat"),
    ("AdamW", "", "adamw"),
    ("AdamW", "decay=uncoupled", "adamw-uncoupled"),
    ("AMSGrad", "", "amsgrad"),
    ("AMSGrad", "weight_decay", "amsgrad+l2"),
    ("AMSGrad", "correction=after_max", "amsgrad-after-max"),
    ("AMSGrad", "correction=before_max", "amsgrad-before-max"),
    ("AMSGrad", "correction=after_max weight_decay decay=coupled", "amsgrad-after-max+decay"),
    ("NAdam", "", "nadam"),
    ("NAdam", "form=dozat", "nadam-dozat"),
    ("NAdam", "form=constant", "nadam-constant"),
    ("RAdam", "", "radam"),
    ("RAdam", "threshold=4", "radam-4"),
    ("RAdam", "before=nothing", "radam-idle"),
    ("Adamax", "", "adamax"),
    ("AdaBelief", "", "adabelief"),
    ("AdaBelief", "eps_in_average=False", "adabelief-eps-outside"),
    ("AdaBound", "", "adabound"),
    ("AdaBound", "schedule=sqrt", "adabound-sqrt"),
    ("AMSBound", "", "amsbound"),
)


def _options(text: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        out[name] = parse_option(word)[1] if value else _RATES.get(name, True)
    return out


def identifier(path: str, options: Mapping[str, Any]) -> str:
    """Return the id of a class with options: ``torch.optim:Adam(amsgrad=True)``."""
    inside = ", ".join(f"{n}={v!r}" for n, v in options.items())
    return path + (f"({inside})" if inside else "")


def builtin() -> dict[str, Subject]:
    """Return every subject that the ledger has rows for, by id."""
    out = [Subject(f"paper:{n}", "paper", against=n) for n in RULES]
    for name, text, against in _TORCH:
        for extra in ({}, {"foreach": True}):
            options = {**_options(text), **extra}
            if not extra:
                options["foreach"] = False
            recipe = Recipe(getattr(torch.optim, name), options)
            shown = {n: v for n, v in options.items() if v is not False}
            out.append(Subject(identifier(f"torch.optim:{name}", shown), "torch", recipe, against))
    from .. import optimizers

    for name, text, against in _OURS:
        for form, more in ((name, {}), (f"{name}Reference", {}), (name, {"compiled": True})):
            recipe = Recipe(getattr(optimizers, form), {**_options(text), **more})
            path = f"adamproof.optimizers:{form}"
            out.append(Subject(identifier(path, recipe.options), "ours", recipe, against))
    return {s.id: s for s in out}


_NO_NUMBERS = ("nan", "inf", "infinity")
#: As other tools write them; the word "false" is true to Python.
_WORDS = {"true": True, "false": False}


def parse_option(text: str) -> tuple[str, Any]:
    """Read ``name=value``, the value as a Python literal where it is one.

    Raises:
        UnknownSubject: there is no ``=``.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UnknownSubject(f"an option is written NAME=VALUE, not {text!r}")
    try:
        read = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        word = value.strip().lower()
        read = float(word) if word.lstrip("+-") in _NO_NUMBERS else _WORDS.get(word, value)
    if isinstance(read, float) and not math.isfinite(read):
        raise UnknownSubject(f"the option {name.strip()} is {value}; give it a finite number")
    return name.strip(), read


def resolve(text: str, options: Iterable[str] = (), against: str = "") -> Subject:
    """Return a built-in subject by id, or the optimizer class at ``module:Class``.

    Raises:
        UnknownSubject: it cannot be found, imported or used; the message says what to do.
    """
    extra = dict(parse_option(o) for o in options)
    known = builtin()
    if against:
        _check_rule(against)
    if text in known and not extra:
        subject = known[text]
        return subject if not against else replace(subject, against=against, kind="user")
    path, written = _split(text)
    options_all = {**written, **extra}
    shown = identifier(path, options_all)
    if shown in known and not against:
        return known[shown]
    if ":" not in path or path.startswith("paper:"):
        raise UnknownSubject(
            f"there is no subject {text!r}; {nearest(text, known)}; a class of your own is written "
            "module:Class"
        )
    cls = load(path)
    return Subject(shown, "user", Recipe(cls, options_all), against)


def _check_rule(name: str) -> None:
    """Raise `UnknownSubject`, with what could have been meant, unless there is a rule of that name."""
    try:
        named(name)
    except KeyError as error:
        told = error.args[0]
        if "; " in told or ": " in told:  # it says what is wrong with it
            raise UnknownSubject(told) from None
        ends = ", ".join(FORMS)
        raise UnknownSubject(
            f"{told}; {nearest(name, RULES)} (a rule without decay may end in {ends})"
        ) from None


def _split(text: str) -> tuple[str, dict[str, Any]]:
    path, bracket, inside = text.partition("(")
    if not bracket:
        return path, {}
    try:
        call = ast.parse(f"f({inside.rstrip(')')})", mode="eval").body
        assert isinstance(call, ast.Call)
        assert not call.args
        return path, {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise UnknownSubject(f"the options in {text!r} are not written as NAME=VALUE, …") from None


def load(path: str) -> type[torch.optim.Optimizer]:
    """Import the optimizer class at ``module:Class``.

    Raises:
        UnknownSubject: the module or the class is not there, or the class is no optimizer.
    """
    module_name, _, class_name = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise UnknownSubject(
            f"the module {module_name!r} does not import ({type(error).__name__}: {error}); is it "
            "installed, or in the current folder?"
        ) from error
    cls = getattr(module, class_name, None)
    if cls is None:
        classes = [n for n, v in vars(module).items() if isinstance(v, type)]
        raise UnknownSubject(
            f"{module_name} has no class {class_name!r}; {nearest(class_name, classes)}"
        )
    if not (isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)):
        raise UnknownSubject(f"{path} is no torch.optim.Optimizer class, so it has no rule to lift")
    if cls.step is torch.optim.Optimizer.step:
        raise UnknownSubject(f"{path} has no step() of its own, so it has no rule to lift")
    return cls


def nearest(text: str, names: Iterable[str]) -> str:
    """Return "did you mean …?" with the nearest names, or a list of some."""
    names = list(names)
    found = difflib.get_close_matches(text, names, n=3, cutoff=0.5)
    if not found:
        lowered = {n.lower(): n for n in names}
        found = [lowered[m] for m in difflib.get_close_matches(text.lower(), lowered, 3, 0.5)]
    if found:
        return f"did you mean {' or '.join(found)}?"
    return f"there are {', '.join(names[:6])}{', …' if len(names) > 6 else ''}"


__all__ = ["LiftError", "Subject", "UnknownSubject", "builtin", "load", "nearest", "resolve"]
