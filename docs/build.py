"""Make the book: the executed notebooks, the guides and the reference as a static web site.

    python docs/build.py [FOLDER]

The pages are staged in FOLDER/source as they lie in the repository, so that the links between
them hold; Sphinx makes FOLDER/book of them (warnings are errors); then every link is followed.
FOLDER is `build` if not given. Nothing comes from the network, here or in the reader's browser.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from nbformat import NotebookNode
from sphinx.cmd.build import main as sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent

# --- the pages ---------------------------------------------------------------------------------

AROUND = ("CONTRIBUTING", "CHANGELOG", "SECURITY", "CODE_OF_CONDUCT")  # in the root, with README


def stage(source: Path) -> None:
    """Copy the pages to `source`; the front page is made of the README."""
    pages = [path for path in DOCS.iterdir() if path.suffix in {".md", ".rst", ".svg"}]
    pictures = DOCS.glob("screenshots/*.png")
    around = [ROOT / f"{name}.md" for name in AROUND]
    for path in (*pages, *pictures, *around, ROOT / "LICENSE", ROOT / "CITATION.cff"):
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    guides = sorted(path.stem for path in pages if path.suffix == ".md")
    (source / "index.md").write_text(front_page(guides), encoding="utf-8")

    figures = figures_of_the_package()
    for path in (ROOT / "notebooks").glob("*/*.ipynb"):
        if path.stem == path.parent.name:
            notebook = nbformat.read(path, as_version=4)
            prepare(notebook, dict(figures))
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True)
            nbformat.write(notebook, target)


MAP = "```{raw} html\n:file: docs/map.svg\n```\n"


def front_page(guides: list[str]) -> str:
    """The README with a map to click for its diagram, and the contents of the side bar."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    notebooks = re.findall(r"\[(\d\d [^]]+)\]\((notebooks/.+?)\.ipynb\)", readme)
    beside = [*(f"docs/{name}" for name in guides), "docs/api", *AROUND]
    return (
        re.sub(r"```mermaid\n.*?```\n", MAP, readme, flags=re.DOTALL)
        + contents("The notebooks", [f"{title} <{page}>" for title, page in notebooks])
        + contents("Beside them", beside)
    )


def contents(caption: str, pages: list[str]) -> str:
    return "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```\n"])


# --- the notebooks -----------------------------------------------------------------------------

HIDDEN_TESTS = re.compile(r"\n### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS", re.DOTALL)
SOLUTION_MARKERS = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)
EXAMPLE = re.compile(r"<!-- BEGIN SOLUTION -->(.*?)<!-- END SOLUTION -->", re.DOTALL)
PROMPTS = {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide the solution"}
LIVE = "*In the notebook, there is a control here that you can move.*"


def prepare(notebook: NotebookNode, figures: dict[str, str]) -> None:
    """Fold solutions, describe figures, drop what only a grader or a kernel can use.

    Args:
        figures: what the functions that draw a figure show; gains those of the notebook.
    """
    for cell in notebook.cells:
        solution = cell.metadata.get("nbgrader", {}).get("solution", False)
        if cell.cell_type == "markdown":
            folded = r"<details><summary>Show an example</summary>\1</details>"
            cell.source = EXAMPLE.sub(folded, cell.source)
        else:
            cell.source = SOLUTION_MARKERS.sub("", HIDDEN_TESTS.sub("", cell.source)).rstrip()
            cell.outputs = [shown for output in cell.outputs for shown in readable(output)]
            about = dict(PROMPTS) if solution else {}
            figures |= figures_of_helpers(cell.source, figures)
            if any("image/png" in output.get("data", {}) for output in cell.outputs):
                about["image"] = {"alt": alternative_text(cell.source, figures)}
            cell.metadata = {"tags": ["hide-input"] if solution else [], "mystnb": about}


def readable(output: NotebookNode) -> Iterator[NotebookNode]:
    """An output as it can be read without a kernel: a live control becomes a remark."""
    text = output.get("data", {}).get("text/plain", "")
    if text.startswith("interactive("):
        yield nbformat.v4.new_output("display_data", {"text/markdown": LIVE})
    elif not text.startswith("<function "):
        yield output


def figures_of_the_package() -> dict[str, str]:
    """What each function of `course_lib.plots` shows: its docstring's first paragraph."""
    return {
        node.name: " ".join(ast.get_docstring(node).partition("\n\n")[0].split())
        for path in (ROOT / "course_lib" / "plots").glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node)
    }


def figures_of_helpers(source: str, figures: dict[str, str]) -> dict[str, str]:
    """The same for a function that a notebook makes around one of them."""
    return {
        node.name: figures[name_of(call)]
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
        for call in calls(node)
        if name_of(call) in figures
    }


def alternative_text(source: str, figures: dict[str, str]) -> str:
    """A figure in words: what its function shows, and the titles that the cell gives it."""
    for call in calls(ast.parse(source)):
        if name_of(call) in figures:
            texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
            titles = [f"“{text}”" for text in texts if isinstance(text, str)]
            return " ".join([figures[name_of(call)], *titles])
    raise ValueError(f"no function of course_lib.plots draws the figure of this cell:\n{source}")


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    """The last part of what is called: "chart" for `chart()` and for `plots.chart()`."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


# --- the links ---------------------------------------------------------------------------------

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
REMOTE_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")]+)")


class Page(HTMLParser):
    """The anchors of a page, and its links: (tag, where to)."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[str, str]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.anchors.add(attributes.get("id") or "")
        link = attributes.get("href" if tag == "a" else LOADED.get(tag, ""))
        if link and not link.startswith("data:"):
            self.links.append((tag, link))


def broken_links(book: Path) -> Iterator[str]:
    """What points nowhere, and what a browser would fetch from the network."""
    pages = {path: Page(path) for path in sorted(book.rglob("*.html"))}
    for path, page in pages.items():
        for tag, link in page.links:
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            where = f"{path.relative_to(book)}: {link}"
            if parts.scheme or parts.netloc:
                if tag != "a":
                    yield f"{where} would come from the network"
            elif not target.is_file():
                yield f"{where} does not exist"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors | {""}:
                yield f"{where} has no such anchor"
    for style in book.rglob("*.css"):
        for link in REMOTE_STYLE.findall(style.read_text(encoding="utf-8")):
            yield f"{style.relative_to(book)}: {link} would come from the network"


def main(folder: Path) -> int:
    source, book = folder / "source", folder / "book"
    for stale in (source, book):
        shutil.rmtree(stale, ignore_errors=True)
    stage(source)
    options = ["-W", "--keep-going", "--quiet", "-E", "-d", str(folder / "doctrees")]
    options += ["-c", str(DOCS)]
    if failed := sphinx([*options, str(source), str(book)]):
        return failed
    broken = sorted(broken_links(book))
    print(*broken, f"The book: {book / 'index.html'}", sep="\n")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()))
