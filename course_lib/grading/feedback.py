"""The page a learner gets back: nbgrader's feedback, which reads the same without a network."""

from __future__ import annotations

from html import escape
from pathlib import Path

import nbgrader
from jinja2 import pass_context
from math_core import LatexError, LatexToMathML
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from traitlets.config import Config

_OURS = Path(__file__).parent / "templates"
_NBGRADERS = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader"
_BOOTSTRAP = _NBGRADERS / "static" / "node_modules" / "bootstrap" / "dist" / "css"
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

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        return MarkdownWithMath(renderer=_Renderer(escape=False)).render(source)
