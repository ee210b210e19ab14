"""Real models, loaded once for all tests."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers is imported anywhere


@pytest.fixture(scope="session")
def smollm2():
    """(model, tokenizer); shared, so leave the weights as they are."""
    from course_lib.pretrained import load_smollm2

    return load_smollm2()


@pytest.fixture(scope="session")
def minilm():
    """(model, tokenizer); shared, so leave the weights as they are."""
    from course_lib.pretrained import load_minilm

    return load_minilm()
