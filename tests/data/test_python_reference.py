"""The language reference is real prose, whole and always the same."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pydoc_data.topics import topics

from course_lib.data.python_reference import python_reference_text


def test_it_is_real_prose_of_a_useful_size():
    text = python_reference_text()
    assert len(text) > 300_000
    assert 'The "if" statement' in text
    assert 'The "while" statement' in text
    assert len(set(text.split())) > 5_000


def test_it_holds_every_topic_in_order_of_name():
    text = python_reference_text()
    position = 0
    for name in sorted(topics):
        position = text.index(topics[name].strip(), position) + len(topics[name].strip())
    assert text.endswith("\n") and not text.startswith("\n")


def test_another_process_reads_the_same_text():
    code = (
        "from course_lib.data.python_reference import python_reference_text as t;"
        "import hashlib; print(hashlib.sha256(t().encode()).hexdigest())"
    )
    runs = {subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(2)}
    assert runs == {hashlib.sha256(python_reference_text().encode()).hexdigest() + "\n"}


def test_it_does_not_need_torch():
    code = "import sys, course_lib.data.python_reference; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
