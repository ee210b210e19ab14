"""A report is read by eyes, by ears, and in any colours."""

import re
from html.parser import HTMLParser

import pytest

from course_lib.checks import Report

RIGHT = Report("own.a", True, 2, 2, "right on all 3 cases")
WRONG = Report(
    "own.a", False, 0, 2, "squares", "squares", ("Because.",), (("x", "3"), ("got", "9"))
)


class Seen(HTMLParser):
    """The text of a page, with and without what is hidden from those who listen."""

    def __init__(self, page):
        super().__init__()
        self.style, self.hidden, self.text, self.heard, self.header_cells = False, False, "", "", []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.style = tag == "style"
        self.hidden = attributes.get("aria-hidden") == "true"
        if tag == "th":
            self.header_cells.append(attributes.get("scope"))

    def handle_endtag(self, tag):
        self.style = self.hidden = False

    def handle_data(self, data):
        if not self.style:
            self.text += data
            self.heard += "" if self.hidden else data


@pytest.mark.parametrize(("report", "word"), [(RIGHT, "Right."), (WRONG, "Not yet.")])
def test_the_verdict_is_a_word(report, word):
    seen = Seen(report._repr_html_())
    assert seen.heard.strip().startswith(word)
    assert f"own.a: {report.headline}" in seen.text


def test_the_smallest_case_is_a_table_with_header_cells():
    html = WRONG._repr_html_()
    assert Seen(html).header_cells == ["row", "row"]
    assert "<table" not in RIGHT._repr_html_()
    assert html.count('role="status"') == 1


def test_text_has_the_colours_of_its_surroundings_and_the_bar_stands_out_from_them():
    style = RIGHT._repr_html_().split("</style>")[0]
    assert not re.search(r"(?<!-)color: #", style.replace("border-color", "border"))
    for colour in re.findall(r"border-color: #(\w{6})", style):
        for page in ("ffffff", "111111"):  # JupyterLab's, light and dark
            low, high = sorted((luminance(colour), luminance(page)))
            assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.1, 1.4.11


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear))
