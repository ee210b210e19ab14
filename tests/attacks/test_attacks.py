"""The attack corpus: no unearned mark, no bystander touched, no grade missing."""

import pytest

from course_lib.grading.attacks import Court, corpus
from course_lib.grading.sandbox import strongest_level

CORPUS = corpus()


@pytest.fixture(scope="module")
def court():
    if strongest_level() != "bwrap":
        pytest.skip("bubblewrap does not work here (Debian, Ubuntu: apt install bubblewrap)")
    with Court("bwrap") as court:
        yield court


def test_the_corpus_is_large_enough():
    assert sum(one.hostile for one in CORPUS) >= 60
    assert sum(not one.hostile for one in CORPUS) >= 20
    assert len({one.name for one in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("submission", CORPUS, ids=lambda one: one.name.replace(" ", "-"))
def test_gets_what_it_must(submission, court):
    assert court.marks(submission) == submission.marks
    assert court.bystander_is_untouched()
