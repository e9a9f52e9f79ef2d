"""A page about a claim, and what it looks like in a terminal, in LaTeX and as a notebook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.padding import Padding
from rich.text import Text


@dataclass(frozen=True)
class Formula:
    """A formula in both scripts; where it has no LaTeX form it is words."""

    plain: str
    latex: str = ""


@dataclass(frozen=True)
class Line:
    """A labelled sentence: ``statement: …``."""

    label: str
    text: str


@dataclass(frozen=True)
class Entry:
    """A numbered line of a derivation, or a formula with a remark under it."""

    number: int
    text: str
    formula: Formula
    remark: str


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it."""

    title: str
    parts: tuple[Line | Entry, ...]


@dataclass(frozen=True)
class Page:
    """Everything that is said of a claim for one subject.

    Attributes:
        title: the id of the claim.
        family: its family.
        about: what people say, statement, hypotheses, source.
        sections: verdict, derivation, control, repair, record.
        code: Python that judges the claim again, for the notebook.
    """

    title: str
    family: str
    about: tuple[Line, ...]
    sections: tuple[Section, ...]
    code: str


# -- terminal --------------------------------------------------------------------------------------


def show(page: Page, console: Console) -> None:
    """Print the page."""
    console.print(Text(page.title, style="bold"), f"  [{page.family}]", markup=False)
    for line in page.about:
        console.print(Text(f"{line.label}: ", style="dim") + Text(line.text))
    for section in page.sections:
        console.print(Text(f"\n{section.title}", style="bold"))
        for part in section.parts:
            if isinstance(part, Line):
                label = Text(f"{part.label}: ", style="dim") if part.label else Text()
                console.print(Padding(label + Text(part.text), (0, 0, 0, 1)))
                continue
            if part.text:
                number = f"{part.number}. " if part.number else ""
                console.print(Padding(Text(f"{number}{part.text}"), (0, 0, 0, 1)))
            console.print(Padding(Text(part.formula.plain, style="cyan"), (0, 0, 0, 4)))
            if part.remark:
                console.print(Padding(Text(part.remark, style="dim"), (0, 0, 0, 4)))


# -- LaTeX -----------------------------------------------------------------------------------------

#: What a character of the sentences is in math mode.
MATH = {
    **{c: rf"\{n}" for c, n in zip(
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
        ("alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
         "upsilon varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega").split(),
        strict=True)},
    "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "≈": r"\approx", "→": r"\to", "⇒": r"\Rightarrow",
    "⟺": r"\Leftrightarrow", "⇔": r"\Leftrightarrow", "∞": r"\infty", "√": r"\surd", "∑": r"\sum",
    "∫": r"\int", "∈": r"\in", "ℝ": r"\mathbb{R}", "·": r"\cdot", "×": r"\times", "−": "-",
    "±": r"\pm", "∓": r"\mp", "⊙": r"\odot", "‖": r"\|", "∝": r"\propto", "∂": r"\partial",
    "∇": r"\nabla", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "↦": r"\mapsto",
    "⟨": r"\langle", "⟩": r"\rangle", "≡": r"\equiv", "ℓ": r"\ell", "∏": r"\prod", "≪": r"\ll",
    "≫": r"\gg", "∪": r"\cup", "∩": r"\cap", "⊂": r"\subset", "∅": r"\emptyset", "½": r"\tfrac12",
    "÷": r"\div", "⋯": r"\cdots", "₊": "_{+}", "₋": "_{-}",
    "∀": r"\forall", "∃": r"\exists", "′": "'", "⋅": r"\cdot", "ℕ": r"\mathbb{N}",
    "ᵀ": r"^{\top}", "⁺": "^{+}", "⁻": "^{-}", "ⁿ": "^{n}", "ᵗ": "^{t}", "ᵏ": "^{k}", "ᵢ": "_{i}",
    "ₜ": "_{t}", "ₙ": "_{n}", "ₖ": "_{k}", "≺": r"\prec", "∘": r"\circ", "∎": r"\blacksquare",
    **{c: f"^{{{i}}}" for i, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{c: f"_{{{i}}}" for i, c in enumerate("₀₁₂₃₄₅₆₇₈₉")},
}  # fmt: skip
#: Characters of ordinary text that LaTeX writes in another way; accents stay as they are.
TEXT = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "^": r"\^{}", "%": r"\%",
    "&": r"\&", "#": r"\#", "$": r"\$", "~": r"\~{}", "…": r"\dots{}", "–": "--", "—": "---",
    "“": "``", "”": "''", "‘": "`", "’": "'", "<": r"\ensuremath{<}", ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}", "✓": r"\ensuremath{\surd}", "✗": r"\ensuremath{\times}", "\u00a0": "~",
}  # fmt: skip
_ACCENTS = {"\u0302": r"\hat", "\u0304": r"\bar", "\u0303": r"\tilde"}
_COMPOSED = {"ĝ": "g\u0302", "ŝ": "s\u0302", "ḡ": "g\u0304", "ŵ": "w\u0302", "ŷ": "y\u0302",
             "ĥ": "h\u0302", "â": "a\u0302", "ẑ": "z\u0302"}  # fmt: skip
_INDEX = r"[_^](?:\([^()]*\)|\{[^{}]*\}|[A-Za-zα-ω0-9*]+)"
#: A letter with an accent, an index or an exponent: v̂_t, x_(t−1), β1^t; and powers of the rest.
_INDEXED = re.compile(
    rf"(?<![^\W\d_])(?:[A-Za-zα-ωΑ-Ω]\d?(?:{_INDEX})+|[α-ω]\d)"
    rf"|[A-Za-zα-ωΑ-Ω][\u0302-\u0304]\d?(?:{_INDEX})*|(?<=[)\]|\d])(?:{_INDEX})+"
)


def tex(text: str) -> str:
    """Return a sentence for LaTeX, its formulas in math mode.

    Raises:
        KeyError: a character that LaTeX would not know.
    """
    for composed, parts in _COMPOSED.items():
        text = text.replace(composed, parts)
    out, at = [], 0
    for found in _INDEXED.finditer(text):
        out += [_plain(text[at : found.start()]), rf"\ensuremath{{{_math(found[0])}}}"]
        at = found.end()
    return "".join([*out, _plain(text[at:])])


def _math(text: str) -> str:
    """Return letters with accents, indices and exponents as math."""

    def index(found: re.Match[str]) -> str:
        inside = found[0][1:]
        bare = inside[1:-1] if inside[0] == "{" or (inside[0] == "(" and found[0][0] == "_") else inside
        return f"{found[0][0]}{{{bare}}}"

    text = re.sub(_INDEX, index, text)
    text = re.sub(r"^([α-ω])(\d)(_\{)?", lambda m: f"{m[1]}_{{{m[2]}" + ("," if m[3] else "}"), text)
    text = re.sub(r"(.)([\u0302-\u0304])", lambda m: f"{_ACCENTS[m[2]]}{{{m[1]}}}", text)
    return "".join(f"{MATH[c]} " if c in MATH else c for c in text)


def _plain(text: str) -> str:
    out = []
    for c in text:
        if c in TEXT:
            out.append(TEXT[c])
        elif c in MATH:
            out.append(rf"\ensuremath{{{MATH[c]}}}")
        elif c.isascii() or c in "äöüßéèàçøåñáíóúôÄÖÜÉ§":
            out.append(c)
        else:
            raise KeyError(c)
    return "".join(out)


_DOCUMENT = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{amsmath,amssymb,graphicx}
\usepackage[margin=25mm]{geometry}
\sloppy\emergencystretch=3em
%% A formula that is wider than the page is made smaller.
\newcommand{\fitted}[1]{\[\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}%%
  {$\displaystyle #1$}\]}
\begin{document}
%s
\end{document}
"""


def latex(page: Page) -> str:
    """Return the page as a LaTeX document."""
    return _DOCUMENT % "\n".join(_latex_lines(page))


def _latex_lines(page: Page) -> Iterator[str]:
    yield rf"\section*{{\texttt{{{tex(page.title)}}}}}"
    yield rf"\begin{{description}}\item[family] {tex(page.family)}"
    yield from (rf"\item[{tex(line.label)}] {tex(line.text)}" for line in page.about)
    yield r"\end{description}"
    for section in page.sections:
        yield rf"\subsection*{{{tex(section.title)}}}"
        for part in section.parts:
            if isinstance(part, Line):
                label = rf"\textbf{{{tex(part.label)}}} " if part.label else ""
                yield rf"\par\noindent {label}{tex(part.text)}"
                continue
            number = f"{part.number}. " if part.number else ""
            yield rf"\par\medskip\noindent {number}{tex(part.text)}"
            yield (rf"\fitted{{{part.formula.latex}}}" if part.formula.latex
                   else rf"\begin{{quote}}{tex(part.formula.plain)}\end{{quote}}")  # fmt: skip
            if part.remark:
                yield rf"\noindent\emph{{{tex(part.remark)}}}"


# -- notebook --------------------------------------------------------------------------------------


def notebook(page: Page) -> str:
    """Return the page as a Jupyter notebook (format 4.5), with a cell that judges the claim again."""
    sections = ["\n\n".join(_markdown(section)) for section in page.sections]
    about = "\n\n".join(f"**{line.label}**: {_escaped(line.text)}" for line in page.about)
    cells = [_cell(0, "markdown", f"# {page.title}\n\n*{page.family}*\n\n{about}")]
    cells.append(_cell(1, "code", page.code))
    cells += [_cell(n, "markdown", text) for n, text in enumerate(sections, 2)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1, ensure_ascii=False)


def _cell(number: int, kind: str, source: str) -> dict[str, object]:
    cell: dict[str, object] = {"id": f"part-{number}", "cell_type": kind, "metadata": {}}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell | {"source": source}


def _markdown(section: Section) -> Iterator[str]:
    yield f"## {_escaped(section.title)}"
    for part in section.parts:
        if isinstance(part, Line):
            yield (f"**{part.label}**: " if part.label else "") + _escaped(part.text)
            continue
        if part.text:
            yield (f"**{part.number}.** " if part.number else "") + _escaped(part.text)
        yield (
            f"$$ {part.formula.latex} $$" if part.formula.latex else f"> {_escaped(part.formula.plain)}"
        )
        if part.remark:
            yield f"*{_escaped(part.remark)}*"


def _escaped(text: str) -> str:
    """Return a sentence that Markdown leaves as it is."""
    return re.sub(r"([\\`*_$<>#|])", r"\\\1", text)
