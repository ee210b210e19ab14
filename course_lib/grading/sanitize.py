"""A learner's markdown, so that nothing in it acts when an instructor opens it in a browser.

nbgrader's pages render markdown as it comes: HTML, scripts, links to `javascript:`, pictures from
elsewhere, MathJax commands that make links. None of them is needed in an answer. Each is broken by
one invisible character (a zero-width space), so the text still reads as it was written.
"""

from __future__ import annotations

import re

_BREAK = "\u200b"
_PATTERNS = [
    (re.compile(r"<(?=[A-Za-z!/?])"), f"<{_BREAK}"),  # a tag, a comment, <autolink:...>
    (re.compile(r"!\["), f"!{_BREAK}["),  # a picture becomes a link
    # links other than to the web or within the page, in line and by reference
    (re.compile(r"\]\((?!\s*(https?://|#))"), f"]{_BREAK}("),
    (re.compile(r"\]:(?!\s*https?://)"), f"]{_BREAK}:"),
    # MathJax commands that make links, names, styles, or new commands
    (
        re.compile(
            r"\\(?=(href|url|cssId|class|style|require|unicode|html|data|def|let|new|renew))"
        ),
        f"\\\\{_BREAK}",
    ),
]


def sanitize(markdown: str) -> str:
    """The same text to a reader; nothing but text, links to the web and formulas to a browser."""
    for pattern, replacement in _PATTERNS:
        markdown = pattern.sub(replacement, markdown)
    return markdown
