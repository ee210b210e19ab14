"""Headlines are made of functions' names, and read as English all the same."""

import re

import pytest

from course_lib.checks import exercises
from course_lib.checks.spoken import spoken
from course_lib.data.python_reference import python_reference_text
from course_lib.notebooks import NOTEBOOKS, notebook_names

# Good words that stand neither in a notebook nor in Python's manual.
KNOWN = """
averaging bare cents charges compete embedded exceeds exponentiating faintest fewest folds granted GRU
halve hears hill joining latest mirror moving nests overlapping overlooks pairings penalises prunes relies
renormalise renormalises rolls shortens shuts silence squashes threshold transposing unwraps upside
wavelength white
""".lower().split()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("divides_by_all", "divides by all"),
        ("GivesPaddingAPosition", "gives padding a position"),
        ("returns_a_list", "returns a list"),
        ("TakesATupleForAList", "takes a tuple for a list"),
        ("mixes_like_a_gru", "mixes like a GRU"),
        ("uses_torchs_own", "uses torch's own"),
        ("keeps_the_kth", "keeps the k-th"),
        ("gives_nan", "gives NaN"),
    ],
)
def test_a_name_is_read_out(name, words):
    assert spoken(name) == words


def test_every_headline_is_made_of_words():
    """Words of the course or of Python's manual: run-together words and lost apostrophes are none."""
    texts = [python_reference_text()]
    texts += [(NOTEBOOKS / n / f"{n}.py").read_text(encoding="utf-8") for n in notebook_names()]
    known = {word.lower() for text in texts for word in re.findall(r"[A-Za-z'-]+", text)}
    known |= set(KNOWN)
    strange = {
        f"{exercise.id}: {misconception.name}: {word}"
        for exercise in exercises().values()
        for misconception in exercise.misconceptions
        for word in re.findall(r"[A-Za-z'-]+", misconception.name)
        if word.lower() not in known and word.lower().rstrip("s") not in known
    }
    assert not strange


def test_articles_go_with_what_follows():
    wrong = re.compile(r"\ba (?!and )[aeio]\w|\ban (?!hour)[^aeiouNLRMSx]")
    names = [m.name for exercise in exercises().values() for m in exercise.misconceptions]
    assert not [name for name in names if wrong.search(name)]
