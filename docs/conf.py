"""How Sphinx makes the book; `docs/build.py` runs it on a copy of the pages."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from math_core import LatexToMathML
from sphinx.application import Sphinx

project = "Transformers by hand"
author = "the maintainers of Transformers by Hand"
copyright = f"2026 {author}"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]

# Notebooks: as they were executed, with the outputs that they hold.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Docstrings: Google style; `name` in them is a link where there is something of that name.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
add_module_names = False
templates_path = [str(Path(__file__).parent / "_templates")]

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_copy_source = False
html_show_sphinx = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

# Formulas as MathML, which browsers and screen readers understand by themselves.
html_math_renderer = "mathml"
mathml = LatexToMathML()


def visit_math(translator, node: nodes.math) -> None:
    formula = mathml.convert_with_local_state(node.astext(), displaystyle=False)
    translator.body.append(formula)
    raise nodes.SkipNode


def visit_displaymath(translator, node: nodes.math_block) -> None:
    formula = mathml.convert_with_local_state(node.astext(), displaystyle=True)
    translator.body.append(f'<div class="formula" tabindex="0">{formula}</div>')
    raise nodes.SkipNode


def keep_bars(app, what, name, obj, options, lines: list[str]) -> None:
    """A bar in a docstring is the bar of a formula, such as |a| or P(y | x), not markup."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def shorten_defaults(app, what, name, obj, options, signature: str | None, returns: str | None):
    """A field that a dataclass makes anew each time has no value to show."""
    return signature and signature.replace("<factory>", "..."), returns


def skip_fields(app, what, name, obj, skip: bool, options) -> bool | None:
    """The fields of a named tuple stand in its signature and its docstring."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    app.connect("autodoc-process-docstring", keep_bars)
    app.connect("autodoc-process-signature", shorten_defaults)
    app.connect("autodoc-skip-member", skip_fields)
