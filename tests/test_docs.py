"""The pages of docs/ are in step with the claims and the ledger.

``python tests/test_docs.py`` rewrites what is generated.
"""

import re
import sys
from pathlib import Path

import pytest

from adamproof.theory.catalogue import claims

sys.path.insert(0, str(Path(__file__).parent))  # as a script this file has no package
from docs_pages import BEGIN, END, ROOT, TRUST, claims_page, trust_block

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)#]*)(#[^)]*)?\)")


def block(name: str) -> re.Pattern[str]:
    begin, end = re.escape(BEGIN.format(name)), re.escape(END)
    return re.compile(f"(?<={begin}\n)(?:(?!{end}).)*", re.DOTALL)


def test_the_page_of_claims_is_what_is_generated() -> None:
    assert (DOCS / "claims.md").read_text(encoding="utf-8") == claims_page()


def test_every_claim_is_on_the_page() -> None:
    headings = re.findall(r"^### (.*)$", (DOCS / "claims.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(claims())


@pytest.mark.parametrize("name", TRUST)
def test_the_numbers_on_trust_are_what_is_generated(name: str) -> None:
    text = (DOCS / "trust.md").read_text(encoding="utf-8")
    assert block(name).findall(text) == [trust_block(name) + "\n"]


def test_an_empty_block_ends_where_it_ends() -> None:
    one, two = (BEGIN.format(name) for name in ("steps", "cas"))
    text = f"{one}\n{END}\nkept\n{two}\nold\n{END}\n"
    assert block("steps").sub("new\n", text) == f"{one}\nnew\n{END}\nkept\n{two}\nold\n{END}\n"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-")
               for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}  # fmt: skip
    links = LINK.findall(text)
    assert links
    for target, anchor in links:
        if target.startswith("http"):
            continue
        assert (page.parent / target).exists(), target
        assert not anchor or target or anchor[1:] in anchors, anchor


def main() -> None:
    """Write the page of claims, and the numbers of the page on trust."""
    (DOCS / "claims.md").write_text(claims_page(), encoding="utf-8")
    text = (DOCS / "trust.md").read_text(encoding="utf-8")
    for name in TRUST:
        told = trust_block(name) + "\n"
        text = block(name).sub(lambda _, told=told: told, text)  # type: ignore[misc]
    (DOCS / "trust.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
