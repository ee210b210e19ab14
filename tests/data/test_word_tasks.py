import pytest

from course_lib.data import word_tasks

TASKS = ["CAPITALS", "PLURALS", "OPPOSITES", "PAST_TENSES", "REVIEWS"]


@pytest.mark.parametrize("name", TASKS)
def test_items_are_many_and_differ(name):
    items = getattr(word_tasks, name)
    inputs = [given for given, _ in items]
    assert len(items) >= 50 and len(set(inputs)) == len(inputs)
    for text in (text for item in items for text in item):
        assert text == " ".join(text.split()) and text


def test_reviews_are_balanced():
    labels = [label for _, label in word_tasks.REVIEWS]
    assert set(labels) == set(word_tasks.SENTIMENTS)
    assert labels.count("positive") == labels.count("negative") == 30
