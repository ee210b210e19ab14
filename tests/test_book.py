"""The book is whole, and works from a folder without a network."""

import importlib.util
import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser

import nbformat
import pytest

import course_lib
from course_lib.checks import exercises
from course_lib.notebooks import ROOT, notebook_names, notebook_path

pytest.importorskip("myst_nb", reason="the book extra is not installed")
filelock = pytest.importorskip("filelock")

NAMES = notebook_names()
GUIDES = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
# What makes the course, and is not meant to be imported by others.
TOOLS = {"__main__", "authoring", "cli", "doctor", "exercises", "experiments", "grading"}
TOOLS |= {"kernels", "notebooks", "outline", "plots", "release", "syllabus", "workspace"}
MODULES = sorted({module.name for module in pkgutil.iter_modules(course_lib.__path__)} - TOOLS)


@pytest.fixture(scope="module")
def book(tmp_path_factory, worker_id):
    """The book, built once for all workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "built"
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.exists():
            command = [sys.executable, str(ROOT / "docs" / "build.py"), str(folder)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
    return folder / "book"


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build_book", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def notebook_page(book, name):
    return book / "notebooks" / name / f"{name}.html"


def without_code(markdown):
    return re.sub(r"```.*?```|`[^`\n]*`", "", markdown, flags=re.DOTALL)


class Folds(HTMLParser):
    """What a page says inside its folds and outside of them."""

    def __init__(self, page):
        super().__init__()
        self.depth, self.inside, self.outside = 0, "", ""
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.depth += tag == "details"

    def handle_endtag(self, tag):
        self.depth -= tag == "details"

    def handle_data(self, data):
        if self.depth:
            self.inside += data
        else:
            self.outside += data


# --- the pages ---------------------------------------------------------------------------------


def test_every_page_is_there_and_in_the_side_bar(book):
    front = (book / "index.html").read_text(encoding="utf-8")
    pages = [f"notebooks/{name}/{name}.html" for name in NAMES]
    pages += [f"docs/{name}.html" for name in [*GUIDES, "api"]]
    for page in pages:
        assert (book / page).is_file()
        assert f'class="reference internal" href="{page}"' in front
    assert {"claims", "instructors"} <= set(GUIDES)


def test_the_map_leads_to_every_notebook(book):
    front = (book / "index.html").read_text(encoding="utf-8")
    (map_,) = re.findall(r'<svg class="course-map".*?</svg>', front, flags=re.DOTALL)
    assert sorted(re.findall(r"notebooks/(\w+)/", map_)) == NAMES
    assert "mermaid" not in front


def test_every_module_has_its_reference_and_every_exercise_is_in_it(book, build):
    pages = [book / "docs" / "api" / f"course_lib.{module}.html" for module in MODULES]
    named = {anchor.rpartition(".")[2] for page in pages for anchor in build.Page(page).anchors}
    assert {exercise.partition(".")[2] for exercise in exercises()} <= named


def test_shapes_can_be_read_in_signatures(book):
    page = Folds(book / "docs" / "api" / "course_lib.attention.html").outside
    assert "Float[Tensor, '*batch target d_k']" in page
    assert "jaxtyping" not in page


@pytest.mark.parametrize("name", NAMES)
def test_formulas_are_mathematics(book, name):
    cells = nbformat.read(notebook_path(name), as_version=4).cells
    texts = [without_code(cell.source) for cell in cells if cell.cell_type == "markdown"]
    page = notebook_page(book, name).read_text(encoding="utf-8")
    assert page.count('<math display="block">') == sum(text.count("$$") for text in texts) / 2
    prose = re.sub(r"<pre>.*?</pre>|<code.*?</code>", "", page, flags=re.DOTALL)
    assert not re.search(r"\$\$|\\(frac|text|log|sqrt)\b", prose)


def test_a_known_formula(book):
    page = notebook_page(book, "03_attention").read_text(encoding="utf-8")
    formulas = re.findall(r'<math display="block">.*?</math>', page, flags=re.DOTALL)
    texts = ["".join(re.findall(r">([^<]+)<", formula)) for formula in formulas]
    (attention,) = [
        f for f, t in zip(formulas, texts, strict=True) if t.startswith("attention(Q,K,V)=softmax")
    ]
    assert re.search(
        r"<mfrac>.*<msqrt><msub><mi>d</mi><mi>k</mi></msub></msqrt></mfrac>", attention
    )


@pytest.mark.parametrize("name", NAMES)
def test_solutions_are_folded(book, name):
    page = Folds(notebook_page(book, name))
    solutions = [
        cell
        for cell in nbformat.read(notebook_path(name), as_version=4).cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    ]
    assert solutions
    for cell in solutions:
        secret = re.search(r"BEGIN SOLUTION\W*?\n(.+?)\s*(###|<!--) END", cell.source, re.DOTALL)[1]
        if cell.cell_type == "markdown":
            secret = re.search(r"\w[\w ,]{20,}", secret)[0]  # the first words
        assert secret in page.inside
        assert secret not in page.outside
    code = [cell for cell in solutions if cell.cell_type == "code"]
    assert page.inside.count("Show the solution") == len(code)
    for word in ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS"):
        assert word not in page.inside + page.outside


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_for_readers(book, name):
    page = notebook_page(book, name).read_text(encoding="utf-8")
    images = re.findall(r"<img [^>]*>", page)
    assert images
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)
    assert "interactive(children" not in page
    assert "&lt;function" not in page


# --- the links ---------------------------------------------------------------------------------


def test_broken_links_are_found(build, tmp_path):
    (tmp_path / "here.html").write_text(
        '<p id="top"><a href="#top">a</a><a href="there.html#end">b</a><a href="gone.html">c</a>'
        '<a href="https://example.org/">d</a><img src="data:image/png;base64,AA"><img src="no.png">'
        '<script src="https://example.org/x.js"></script><link href="//example.org/x.css">'
    )
    (tmp_path / "there.html").write_text('<a href="here.html#nowhere">a</a><p id="end">')
    (tmp_path / "style.css").write_text("@import 'https://example.org/font'; a {color: red}")
    assert sorted(build.broken_links(tmp_path)) == [
        "here.html: //example.org/x.css would come from the network",
        "here.html: gone.html does not exist",
        "here.html: https://example.org/x.js would come from the network",
        "here.html: no.png does not exist",
        "style.css: https://example.org/font would come from the network",
        "there.html: here.html#nowhere has no such anchor",
    ]


def test_all_links_of_the_book_hold(build, book):
    pages = [build.Page(path) for path in book.rglob("*.html")]
    assert sum(len(page.links) for page in pages) > 1000
    assert list(build.broken_links(book)) == []


def test_a_figure_must_be_described(build):
    with pytest.raises(ValueError, match="draws the figure"):
        build.alternative_text("surprise()", {"chart": "A chart."})
    assert build.alternative_text('plots.chart(x, "Up")', {"chart": "A chart."}) == "A chart. “Up”"


# --- in a browser ------------------------------------------------------------------------------

KINDS = ["index.html", "notebooks/03_attention/03_attention.html", "docs/claims.html"]
KINDS += ["docs/api.html", "docs/api/course_lib.attention.html"]


@pytest.fixture
def reader(browser):
    """Opens pages of a width and colour scheme; at the end nothing may have gone wrong."""
    contexts, troubles = [], []

    def open_page(path, width=1200, scheme="light"):
        size = {"width": width, "height": 800}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else 0)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("requestfailed", lambda request: troubles.append(f"failed: {request.url}"))
        page.on("request", lambda request: troubles.append(request.url) if remote(request) else 0)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def remote(request):
    return not request.url.startswith(("file:", "data:"))


@pytest.mark.parametrize("page", [*KINDS, *(f"notebooks/{name}/{name}.html" for name in NAMES)])
def test_on_a_phone(reader, book, page):
    shown = reader(book / page, width=375)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 375
    assert shown.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", KINDS)
def test_everybody_can_read_it(reader, book, page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    shown = reader(book / page, scheme=scheme)
    colour = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3
    assert brightness < 64 if scheme == "dark" else brightness > 192
    violations = axe.Axe().run(shown, options={"preload": False}).response["violations"]
    serious = [v["id"] for v in violations if v["impact"] in ("serious", "critical")]
    assert serious == []


def test_a_solution_unfolds(reader, book):
    shown = reader(notebook_page(book, "03_attention"))
    line = shown.get_by_text("Subtracting the largest score changes no share")
    assert not line.is_visible()
    shown.get_by_text("Show the solution").first.click()
    assert line.is_visible()


def test_search_finds_words_of_notebooks_and_of_docstrings(reader, book):
    for word, page in (("bank river", "03_attention"), ("Milakov", "course_lib.attention")):
        shown = reader(book / "search.html")
        shown.locator("input[name=q]").fill(word)
        shown.keyboard.press("Enter")
        shown.locator("ul.search li a").first.wait_for()
        links = shown.locator("ul.search li a").evaluate_all("links => links.map(a => a.href)")
        assert any(page in link for link in links)
