"""The pages in docs/ say where things are, and they are there."""

import importlib.util
import json
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


# --- pictures ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def picture():
    spec = importlib.util.spec_from_file_location("picture", ROOT / "docs" / "picture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_of_the_layers_is_the_import_contract(picture):
    stack = picture.layers(ROOT / "pyproject.toml")
    drawn = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert drawn == picture.draw(stack), "python docs/picture.py draws it anew"
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = {name for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for name in parts(row)}
    assert {name for layer in stack for box in layer for name in re.split("[ :]+", box)} == told


def parts(cell):
    return re.findall(r"`(\w+)`", cell)


def test_layers_are_drawn_from_the_top_down(picture, tmp_path):
    contract = """
        [[tool.importlinter.contracts]]
        type = "layers"
        layers = ["top", "left | right", "bottom"]
    """
    (tmp_path / "pyproject.toml").write_text(contract)
    stack = picture.layers(tmp_path / "pyproject.toml")
    assert stack == [["top"], ["left", "right"], ["bottom"]]
    drawn = re.findall(r'y="(\d+)">(\w+)<', picture.draw(stack))
    heights = {name: int(y) for y, name in drawn}
    assert heights["top"] < heights["left"] == heights["right"] < heights["bottom"]


def test_an_unknown_contract_is_not_drawn(picture, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]")
    with pytest.raises(ValueError, match="one contract of layers, got 0"):
        picture.layers(tmp_path / "pyproject.toml")


def test_the_files_of_the_two_ways_are_there():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = re.findall(r"`(course_lib/[\w/.]+)`", page)
    assert len(paths) > 8
    for path in paths:
        assert (ROOT / path).exists(), path


def test_benchmarks_figures_hold_text():
    ratios = (ROOT / "docs" / "benchmarks.svg").read_text(encoding="utf-8")
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        assert not result["comparisons"] or f">{result['title']}<" in ratios
