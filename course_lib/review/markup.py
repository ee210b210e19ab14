"""The little markup of the cards (`code` between backticks) as HTML."""

from __future__ import annotations

import re
from html import escape


def as_html(text: str) -> str:
    """A text of a card with everything escaped and its `code` marked."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))
