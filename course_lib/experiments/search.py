"""Semantic search over this course's own text (notebook 05)."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import nbformat
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

import course_lib
from course_lib.encoder import Encoder, mean_pool
from course_lib.notebooks import NOTEBOOKS, notebook_names, notebook_path
from course_lib.tokenization import WordPieceTokenizer


class Passage(NamedTuple):
    """A piece of text, the notebook it belongs to, and where it stands in detail."""

    text: str
    notebook: str
    where: str


def docstring_passages(modules: Mapping[str, str]) -> list[Passage]:
    """What the functions and classes of a notebook's ideas say of themselves: their names and the
    first paragraph.

    Args:
        modules: notebook -> the module of `course_lib` that holds its ideas.
    """
    folder = Path(course_lib.__file__).parent
    passages = []
    for notebook, module in modules.items():
        for node in ast.parse((folder / f"{module}.py").read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if docstring := ast.get_docstring(node):
                text = _plain(f"{node.name.replace('_', ' ')}: {docstring.split(chr(10) * 2)[0]}")
                passages.append(Passage(text, notebook, f"{module}.{node.name}"))
    return passages


def notebook_passages(notebooks: Collection[str], folder: Path = NOTEBOOKS) -> list[Passage]:
    """The paragraphs of notebooks that are prose of some length: no code, tables or hints.

    Args:
        notebooks: names; those that are not there are passed over.
        folder: where they are.
    """
    passages = []
    for name in notebook_names(folder):
        if name not in notebooks:
            continue
        for cell in nbformat.read(notebook_path(name, folder), as_version=4).cells:
            if cell.cell_type != "markdown" or "Exercise:" in cell.source:
                continue
            for paragraph in cell.source.split("\n\n"):
                text = _plain(paragraph)
                if 100 <= len(text) <= 700 and not re.match(r"[#<|>$-]|```|\d\.", paragraph):
                    passages.append(Passage(text, name, name))
    return passages


def _plain(markdown: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)  # links
    return " ".join(re.sub(r"[*`$]", "", text).split())


@torch.no_grad()
def embed_texts(
    model: Encoder, tokenizer: WordPieceTokenizer, texts: Sequence[str], batch_size: int = 32
) -> Float[Tensor, "n width"]:
    """One vector of length 1 for each text: the mean over its tokens, as MiniLM was trained.

    Texts of more than 256 tokens are cut, as MiniLM was trained, too.
    """
    rows = [[tokenizer.cls_id, *tokenizer.encode(t)[:254], tokenizer.sep_id] for t in texts]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # little padding
    vectors = torch.empty(len(rows), model.config.width)
    for start in range(0, len(rows), batch_size):
        chosen = order[start : start + batch_size]
        longest = len(rows[chosen[-1]])
        ids = torch.full((len(chosen), longest), tokenizer.pad_id)
        for row, i in zip(ids, chosen):
            row[: len(rows[i])] = torch.tensor(rows[i])
        attention_mask = (ids != tokenizer.pad_id).long()
        pooled = mean_pool(model(ids, attention_mask), attention_mask)
        vectors[chosen] = normalize(pooled, dim=-1)
    return vectors
