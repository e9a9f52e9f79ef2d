"""`adamproof explain` as a document: every sentence and formula has a LaTeX form."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import sympy as sp
from nbclient import NotebookClient

from adamproof import cli, pages
from adamproof.explaining import formula_of, page_of
from adamproof.pages import Entry, Formula, Line, Page, Section, tex
from adamproof.proofs_check.subjects import builtin
from adamproof.theory.catalogue import claims
from adamproof.theory.faithful import paper_of
from adamproof.theory.records import Claim, Every, Ground
from adamproof.theory.rules import RULES
from adamproof.theory.symbols import gt

WRITTEN = {
    "m_1² = C_1·v_1": r"\ensuremath{m_{1}}\ensuremath{^{2}} = \ensuremath{C_{1}}\ensuremath{\cdot}"
    r"\ensuremath{v_{1}}",
    "β1^t": r"\ensuremath{\beta _{1}^{t}}",
    "x_{t−1} or x_(t−1)": r"\ensuremath{x_{t- 1}} or \ensuremath{x_{t- 1}}",
    "theory/step_size.py": r"theory/step\_size.py",
    "(a)^(t−i)": r"(a)\ensuremath{^{(t- i)}}",
    "√v̂ and ĝ_t": r"\ensuremath{\surd}\ensuremath{\hat{v}} and \ensuremath{\hat{g}_{t}}",
    "0.9^10 < 1 & 5 %": r"0.9\ensuremath{^{10}} \ensuremath{<} 1 \& 5 \%",
    "Bock & Weiß, “so”": r"Bock \& Weiß, ``so''",
    r"a\b{c}": r"a\textbackslash{}b\{c\}",
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_sentence_in_latex(text: str) -> None:
    assert tex(text) == WRITTEN[text]


def test_a_character_without_a_latex_form_is_an_error() -> None:
    with pytest.raises(KeyError):
        tex("a 漢 character")


def sentences(claim: Claim) -> Iterator[str]:
    """Yield everything in words that a page about the claim can hold."""
    yield from (claim.id, claim.says, claim.statement, claim.hypotheses, str(claim.source), claim.home)
    for name in RULES if claim.about != "mathematics" else ["adam"]:
        case = claim.judge(paper_of(name))
        if case is None:
            continue
        for goal in (case.control, case.statement):
            if goal is not None:
                yield formula_of(goal).plain if isinstance(goal, Every) else ""
        for step in case.steps:
            yield from (step.text, step.why)
            yield step.goal.says if isinstance(step.goal, Every) else ""


@pytest.mark.parametrize("claim", claims().values(), ids=lambda c: c.id)
def test_every_sentence_of_a_claim_has_a_latex_form(claim: Claim) -> None:
    for sentence in dict.fromkeys(sentences(claim)):
        written = tex(sentence)
        assert written.count("{") - written.count(r"\{") == written.count("}") - written.count(r"\}")


@pytest.mark.parametrize("claim", claims().values(), ids=lambda c: c.id)
def test_every_formula_of_a_claim_has_a_latex_form(claim: Claim) -> None:
    for name in ("adam", "sgd+momentum", "amsgrad-after-max"):
        case = claim.judge(paper_of(name)) if claim.about != "mathematics" or name == "adam" else None
        for goal in [step.goal for step in case.steps] if case else []:
            formula = formula_of(goal)
            assert formula.plain
            written = formula.latex.replace(r"\{", "").replace(r"\}", "")
            assert written.count("{") == written.count("}")
            assert formula.latex.isascii()


def test_large_numbers_are_printed_as_decimals() -> None:
    goal = Ground(gt(sp.Rational(3**60, 2**60), sp.Rational(1, 3**60)))
    assert formula_of(goal) == Formula("3.6768469e+10 > 2.3589825e-29   (as exact rationals)")
    every = Every("n ≤ 3", lambda p: p["n"], ({}, {}))
    assert formula_of(every) == Formula("n ≤ 3   (2 cases)")


# -- documents -------------------------------------------------------------------------------------

PROVED = page_of(claims()["adamw-box"], builtin()["paper:adamw"])
REFUTED = page_of(claims()["kb-step-bound"], builtin()["torch.optim:Adam"])


@pytest.mark.parametrize("page", [PROVED, REFUTED], ids=lambda p: p.title)
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_the_document_compiles(page: Page, tmp_path: Path) -> None:
    (tmp_path / "page.tex").write_text(pages.latex(page), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-500:]
    assert (tmp_path / "page.pdf").stat().st_size > 10_000


def test_the_document_says_what_the_page_says() -> None:
    for page, words in ((PROVED, ["derivation", "negative control", "proved exact by"]),
                        (REFUTED, ["witness", "what is true instead", "real optimizer"])):  # fmt: skip
        for text in (pages.latex(page), pages.notebook(page)):
            for word in [page.title, "statement", "source", "on record", *words]:
                assert word in text, word


@pytest.mark.parametrize("page", [PROVED, REFUTED], ids=lambda p: p.title)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_notebook_judges_the_claim_again(page: Page, tmp_path: Path) -> None:
    book = nbformat.reads(pages.notebook(page), as_version=4)
    nbformat.validate(book)
    NotebookClient(book, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
    (output,) = next(c for c in book.cells if c.cell_type == "code").outputs
    verdict = page.sections[0].title.split()[0]
    assert f"'verdict': '{verdict}'" in output["data"]["text/plain"]


def test_markdown_leaves_the_sentences_as_they_are() -> None:
    parts = (Line("a_b", "x*y* | <z> $5"), Entry(1, "one_two", Formula("n ≤ 3"), "by_hand"))
    page = Page("t", "f", (Line("says", "`x`"),), (Section("s_t", parts),), "1")
    text = nbformat.reads(pages.notebook(page), as_version=4).cells
    assert text[0].source.endswith(r"**says**: \`x\`")
    assert text[2].source == (
        "## s\\_t\n\n**a_b**: x\\*y\\* \\| \\<z\\> \\$5\n\n**1.** one\\_two\n\n> n ≤ 3\n\n*by\\_hand*"
    )


# -- command line ----------------------------------------------------------------------------------


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["adamproof", "explain", "raw-v1-factor", *words])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


def test_documents_on_the_command_line(monkeypatch, capsys, tmp_path) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = run(monkeypatch, capsys, "--latex")
    assert status == 0
    assert out.startswith(r"\documentclass")
    for flag, name in (("--latex", "page.tex"), ("--notebook", "page.ipynb")):
        status, out, _ = run(monkeypatch, capsys, flag, "--out", str(tmp_path / name))
        assert (status, out) == (0, "")
        assert "raw-v1-factor" in (tmp_path / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words, told",
    [
        (["--latex", "--notebook"], "choose one"),
        (["--out", "x.tex"], "choose one of them"),
        (["--latex", "--out", "no/such/folder/x.tex"], "cannot be written: No such file"),
    ],
)
def test_bad_wishes_get_one_sentence(monkeypatch, capsys, words, told) -> None:  # type: ignore[no-untyped-def]
    status, out, err = run(monkeypatch, capsys, *words)
    assert (status, out) == (2, "")
    assert told in err
    assert len(err.strip().splitlines()) == 1
