"""The page a learner gets back: nbgrader's feedback, which reads the same without a network."""

from __future__ import annotations

import copy
import re
from html import escape
from pathlib import Path
from typing import Any

import nbgrader
from jinja2 import pass_context
from math_core import LatexError, LatexToMathML
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from traitlets.config import Config

_OURS = Path(__file__).parent / "templates"
_NBGRADERS = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader"
_BOOTSTRAP = _NBGRADERS / "static" / "node_modules" / "bootstrap" / "dist" / "css"
_HIDDEN = re.compile(r"[^\n]*BEGIN HIDDEN TESTS.*?(?:END HIDDEN TESTS[^\n]*\n?|\Z)", re.DOTALL)
_mathml = LatexToMathML()


def formula(latex: str, display: bool) -> str:
    """A formula as MathML, which browsers show by themselves; as text if it is not valid LaTeX."""
    try:
        return _mathml.convert_with_local_state(latex, displaystyle=display)
    except LatexError:
        return f"<code>{escape(latex)}</code>"


class _Renderer(IPythonRenderer):
    def inline_math(self, body: str) -> str:
        return formula(body, display=False)

    def block_math(self, body: str) -> str:
        return formula(body, display=True)


class FeedbackPage(HTMLExporter):
    """nbgrader's exporter for feedback, by our template."""

    @property
    def default_config(self) -> Config:
        # Under this class's own name, which counts for more than what nbgrader sets for its parent.
        own = {
            "template_name": "course_feedback",
            "extra_template_basedirs": [str(_OURS), str(_NBGRADERS / "templates")],
            "extra_template_paths": [str(_NBGRADERS / "templates"), str(_BOOTSTRAP)],
        }
        readable = {"style": "xcode"}  # of pygments' own the one with the most contrast
        config = super().default_config
        config.merge(Config(FeedbackPage=own, CSSHTMLHeaderPreprocessor=readable))
        return config

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **options: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The page, without the text of hidden tests: it is not for those who try again."""
        nb = copy.deepcopy(nb)
        for cell in nb.cells:
            if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade"):
                cell.source = _HIDDEN.sub("# hidden tests\n", cell.source)
        return super().from_notebook_node(nb, resources, **options)

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = _Renderer(escape=False, attachments=attachments)
        return MarkdownWithMath(renderer=renderer).render(source)
