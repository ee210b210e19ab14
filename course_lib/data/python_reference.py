"""Python's own language reference: real English technical prose, inside every CPython."""

from __future__ import annotations

from pydoc_data import topics as _pydoc

__all__ = ["python_reference_text"]


def python_reference_text() -> str:
    """The topics that `help()` shows (`help("LAMBDA")`), joined by blank lines, in order of name.

    The text is written by the Python documentation team and belongs to the running Python, so its
    size differs from version to version: about 465,000 characters in Python 3.11, more in newer
    ones. Two runs of the same Python give the same text; a number computed from it need not be
    the same under another Python.
    """
    return "\n\n".join(_pydoc.topics[name].strip() for name in sorted(_pydoc.topics)) + "\n"
