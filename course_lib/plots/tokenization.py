"""Figures of notebook 01: tokens as coloured boxes, vocabulary size, the token tax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from IPython.display import HTML
from matplotlib.figure import Figure

from course_lib.plots.style import new_figure
from course_lib.tokenization import BPETokenizer, WordPieceTokenizer

# Light tints with black text on them: readable on a light and on a dark page.
_TINTS = ("#bcdcf0", "#f6d3ba", "#c2e6d7", "#f0d9e6")


def pieces(text: str, tokenizer: BPETokenizer | WordPieceTokenizer) -> list[str]:
    """The tokens of a text, each as text; a token that is part of a character shows as U+FFFD."""
    if isinstance(tokenizer, WordPieceTokenizer):
        return tokenizer.tokenize(text)
    return [tokenizer.decode([token]) for token in tokenizer.encode(text)]


def coloured_tokens(text: str, tokenizers: Mapping[str, BPETokenizer | WordPieceTokenizer]) -> HTML:
    """One row per tokenizer: every token in a box, and how many there are."""
    rows = []
    for name, tokenizer in tokenizers.items():
        tokens = pieces(text, tokenizer)
        boxes = "".join(
            f'<span style="background:{_TINTS[i % len(_TINTS)]};color:#000;border:1px solid #777;'
            f"border-radius:3px;padding:1px 2px;margin:1px;white-space:pre;font-family:monospace;"
            f'display:inline-block">{escape(token).replace(chr(10), "⏎")}</span>'
            for i, token in enumerate(tokens)
        )
        rows.append(
            f'<tr><th scope="row" style="text-align:left;white-space:nowrap">{escape(name)}</th>'
            f'<td style="text-align:right;white-space:nowrap">{len(tokens)} tokens</td>'
            f'<td style="text-align:left">{boxes}</td></tr>'
        )
    return HTML(f"<table>{''.join(rows)}</table>")


def vocabulary_size_chart(
    sizes: Sequence[int], bytes_per_token: Mapping[str, Sequence[float]]
) -> Figure:
    """Bytes per token against the size of the vocabulary, a line for each text."""
    figure, (axis,) = new_figure(width=6.0, height=3.4)
    for name, values in bytes_per_token.items():
        axis.plot(sizes, values, marker="o", label=name)
    axis.set_xscale("log", base=2)
    axis.set_xticks(list(sizes), [f"{size:,}" for size in sizes])
    axis.minorticks_off()
    axis.set(xlabel="tokens in the vocabulary", ylabel="bytes per token")
    axis.set_title("Larger vocabularies make shorter sequences, with less and less gain")
    axis.legend()
    return figure


def token_tax_chart(tokens: Mapping[str, Mapping[str, int]]) -> Figure:
    """How many times the tokens of English each language needs, a group of bars a tokenizer."""
    figure, (axis,) = new_figure(width=6.4, height=3.4)
    hatches = ("", "//", "..", "xx")
    width = 0.8 / len(tokens)
    for number, (name, counts) in enumerate(tokens.items()):
        places = [index + width * number for index in range(len(counts))]
        values = [count / counts["English"] for count in counts.values()]
        bars = axis.bar(places, values, width, label=name, hatch=hatches[number % len(hatches)])
        axis.bar_label(bars, fmt="%.1f", padding=2)
    middle = width * (len(tokens) - 1) / 2
    axis.set_xticks([index + middle for index in range(len(counts))], list(counts))
    axis.axhline(1, color="black", linewidth=0.8)
    axis.grid(visible=False, axis="x")
    axis.set(ylabel="tokens, relative to English")
    axis.set_title("The same six sentences, in tokens")
    axis.legend()
    return figure
