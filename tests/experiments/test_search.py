from __future__ import annotations

import torch

from course_lib.encoder import mean_pool
from course_lib.experiments.search import docstring_passages, embed_texts, notebook_passages

NOTEBOOKS = {"00_start_here": "probability", "03_attention": "attention"}


def test_docstrings_of_the_ideas():
    passages = {p.where: p for p in docstring_passages(NOTEBOOKS)}
    assert "attention.causal_mask" in passages and "embeddings.analogy" not in passages
    assert passages["attention.softmax"].notebook == "03_attention"
    assert passages["attention.softmax"].text.startswith("softmax: ")


def test_paragraphs_of_notebooks():
    passages = notebook_passages([*NOTEBOOKS, "no_such_notebook"])
    assert {p.notebook for p in passages} == set(NOTEBOOKS)
    assert all(100 <= len(p.text) <= 700 and "\n" not in p.text for p in passages)
    assert not any(p.text.startswith(("#", "|", "<", "```")) for p in passages)


def test_no_notebooks_no_passages(tmp_path):
    assert notebook_passages(NOTEBOOKS, tmp_path / "nowhere") == []


def test_embeddings_have_length_1_and_do_not_depend_on_the_batch(minilm):
    model, tokenizer = minilm
    texts = ["Short.", "A much longer text about bread, and how to bake it at home.", "x " * 400]
    vectors = embed_texts(model, tokenizer, texts)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    for text, vector in zip(texts, vectors):
        (alone,) = embed_texts(model, tokenizer, [text])
        torch.testing.assert_close(vector, alone, rtol=0, atol=1e-5)
    ids = torch.tensor([[tokenizer.cls_id, *tokenizer.encode(texts[0]), tokenizer.sep_id]])
    with torch.no_grad():
        expected = mean_pool(model(ids), torch.ones_like(ids))[0]
    torch.testing.assert_close(vectors[0], expected / expected.norm(), rtol=0, atol=1e-5)
