"""An instructor's way, with nbgrader's own commands: five made-up submissions of notebook 01."""

import shutil

import pytest
from nbgrader.api import Gradebook

from course_lib.checks import exercises
from course_lib.syllabus import chapter_of

NAME = "01_tokenization"
POINTS = {
    e.id: e.points for e in exercises().values() if chapter_of(e.id).notebook == NAME
}  # fmt: skip

MISTAKES = {
    # forgets how often each word occurs
    "tokenization-count_pairs": "def count_pairs(words):\n"
    "    counts = {}\n"
    "    for word in words:\n"
    "        for pair in pairwise(word):\n"
    "            counts[pair] = counts.get(pair, 0) + 1\n"
    "    return counts\n",
    # turns every token into text before joining
    "tokenization-bpe_decode": "def bpe_decode(ids, vocab):\n"
    "    return ''.join(vocab[id].decode('utf-8', errors='replace') for id in ids)\n",
    # takes the prices for prices per thousand
    "tokenization-prompt_cost": "def prompt_cost(n_input, n_output, input_price, output_price):\n"
    "    return (n_input * input_price + n_output * output_price) / 1_000\n",
}


@pytest.fixture(scope="module")
def course(new_course):
    return new_course(NAME)


def test_five_submissions_get_the_marks_they_must(course, nbgrader, write, solutions):
    right = solutions(NAME)
    half = dict(list(right.items())[: len(right) // 2])
    crashing = right | {
        "tokenization-wordpiece_encode": "def wordpiece_encode(word, vocab, unk='[UNK]'):\n"
        "    return wordpiece_encode(word, vocab, unk)\n",
        "tokenization-unigram_encode": "import nothing_of_that_name\n",
        "tokenization-encode_pair_batch": "def encode_pair_batch(pairs)\n    return 1\n",
    }
    answers = {
        "perfect": right,
        "half": half,
        "untouched": {},
        "mistakes": right | MISTAKES,
        "crashing": crashing,
    }
    for student, cells in answers.items():
        folder = course / "submitted" / student / NAME
        shutil.copytree(course / "release" / NAME, folder)
        write(folder / f"{NAME}.ipynb", cells)

    nbgrader(course, "autograde", NAME)
    nbgrader(course, "generate_feedback", NAME)

    ids = {key: key.replace("-", ".", 1) for key in right}
    lost = {
        "perfect": set(),
        "half": set(POINTS) - {ids[key] for key in half},
        "untouched": set(POINTS),
        # train_bpe is built on count_pairs
        "mistakes": {ids[key] for key in MISTAKES} | {"tokenization.train_bpe"},
        "crashing": {
            "tokenization.wordpiece_encode",
            "tokenization.unigram_encode",
            "tokenization.encode_pair_batch",
        },
    }
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        for student in answers:
            grades = gradebook.find_submission(NAME, student).notebooks[0].grades
            got = {g.name.removeprefix("check-").replace("-", ".", 1): g.score for g in grades}
            must = {e: 0 if e in lost[student] else points for e, points in POINTS.items()}
            assert got == must, student

    for student in answers:
        page = (course / "feedback" / student / NAME / f"{NAME}.html").read_text(encoding="utf-8")
        told = {
            "perfect": "right on all",
            "half": "not written yet",
            "untouched": "not written yet",
            "mistakes": "ignores how often a word occurs",
            "crashing": "RecursionError",
        }[student]
        assert told in page


def test_validate_tells_a_learner_before_submitting(course, nbgrader, write, solutions, tmp_path):
    mine = tmp_path / f"{NAME}.ipynb"
    shutil.copy(course / "release" / NAME / mine.name, mine)
    shutil.copy(course / "nbgrader_config.py", tmp_path)
    assert "VALIDATION FAILED" in nbgrader(tmp_path, "validate", mine.name)
    write(mine, solutions(NAME))
    assert "Success! Your notebook passes all the tests." in nbgrader(
        tmp_path, "validate", mine.name
    )
