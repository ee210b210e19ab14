"""The pages in docs/ say where things are, and they are there."""

import re

import nbformat
import pytest

from course_lib.notebooks import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
CLAIMS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "claims.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and ".ipynb" in line
]


def plain(text):
    """Text without emphasis and quotation marks, in one line."""
    return " ".join(re.sub(r"[*_\"“”]", "", text).split()).lower()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim[0][:40])
def test_the_experiment_of_a_claim_is_where_the_page_says(claim):
    _, _, where, words = claim
    for link in re.findall(r"\((.*?\.ipynb)\)", where):
        notebook = nbformat.read(ROOT / "docs" / link, as_version=4)
        sources = [plain(c.source) for c in notebook.cells if c.cell_type == "markdown"]
        assert any(plain(words) in source for source in sources), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    for link in links:
        assert (page.parent / link).exists(), link
