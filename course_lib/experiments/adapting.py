"""SmolLM2 taught a shop's answers, asked with passages, and made smaller (notebook 11)."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from course_lib.adapting import dequantize_rows, instruction_example, quantize_rows
from course_lib.data.number_words import pad_rows
from course_lib.data.shop_messages import Message
from course_lib.decoder import DecoderLM, positions_and_mask
from course_lib.decoding import generate, pad_left
from course_lib.finetuning import LoRALinear, add_lora
from course_lib.in_context import chat_prompt
from course_lib.objectives import causal_lm_loss
from course_lib.tokenization import BPETokenizer
from course_lib.training import train

END = "<|im_end|>"
INSTRUCTION = (
    "Which team should read this message to a shop (delivery, returns, repair, billing or advice),"
    " and which product is it about? Answer with JSON."
)


def as_json(message: Message) -> str:
    """The answer that the shop wants to a message."""
    return json.dumps({"team": message.team, "product": message.product})


def shop_prompt(message: Message, shown: Sequence[Message] = (), instruction: str = "") -> str:
    """A message as a chat: the instruction, then each example and its answer, then the message."""
    turns = [{"role": "system", "content": instruction}] if instruction else []
    for one in shown:
        turns += [{"role": "user", "content": one.text}]
        turns += [{"role": "assistant", "content": as_json(one)}]
    return chat_prompt([*turns, {"role": "user", "content": message.text}])


class UpperPart(nn.Module):
    """The last blocks of a decoder and its head: from what the lower blocks say to logits.

    It shares its layers with the decoder: what it learns, the decoder knows.
    """

    def __init__(self, model: DecoderLM, n_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(list(model.blocks)[-n_blocks:])
        self.norm = model.norm
        self.unembed = model.unembed

    def forward(
        self, x: Float[Tensor, "batch time width"], labels: Int64[Tensor, "batch time"]
    ) -> Float[Tensor, "1 labelled vocab"]:
        """Logits at the places before labels alone, in one row: the vocabulary is large."""
        positions, mask = positions_and_mask(torch.ones(x.shape[:2], dtype=torch.bool), x.shape[1])
        for block in self.blocks:
            x = block(x, mask, positions)
        before = torch.zeros_like(labels, dtype=torch.bool)
        before[:, :-1] = labels[:, 1:] != -100
        return self.unembed(self.norm(x[before]))


@torch.no_grad()
def read_lower(
    model: DecoderLM, ids: Int64[Tensor, "batch time"], n_upper: int
) -> Float[Tensor, "batch time width"]:
    """What the lower blocks make of texts. They do not learn, so that once is enough."""
    positions, mask = positions_and_mask(torch.ones_like(ids, dtype=torch.bool), ids.shape[1])
    x = model.embed(ids, positions)
    for block in list(model.blocks)[: len(model.blocks) - n_upper]:
        x = block(x, mask, positions)
    return x


def loss_at_labels(
    upper: UpperPart, x: Float[Tensor, "batch time width"], labels: Int64[Tensor, "batch time"]
) -> Float[Tensor, ""]:
    """`causal_lm_loss`, computed at the labels alone."""
    wanted = labels[:, 1:][labels[:, 1:] != -100]
    return nn.functional.cross_entropy(upper(x, labels), wanted)


def teach(
    model: DecoderLM, tokenizer: BPETokenizer, messages: Sequence[Message], *, n_upper: int,
    rank: int, steps: int, generator: torch.Generator, learning_rate: float = 6e-3,
) -> list[dict[str, float]]:  # fmt: skip
    """Fine-tune the upper blocks of a model in place, with LoRA, to answer messages with JSON.

    Returns:
        The history, as `train`.
    """
    pairs = [
        instruction_example(tokenizer.encode(shop_prompt(m)), tokenizer.encode(as_json(m) + END))
        for m in messages
    ]
    ids, labels = pad_rows([ids for ids, _ in pairs], 0), pad_rows([one for _, one in pairs], -100)
    x = read_lower(model, ids, n_upper)
    model.requires_grad_(False)
    upper = UpperPart(model, n_upper)
    names = ("q_proj", "v_proj", "ffn_in", "ffn_out")
    add_lora(upper, rank, 2.0 * rank, names=names, generator=generator)

    def next_loss(generator: torch.Generator) -> Tensor:
        some = torch.randperm(len(ids), generator=generator)[:8]
        return loss_at_labels(upper, x[some], labels[some])

    return train(
        upper, next_loss, steps=steps, generator=generator, learning_rate=learning_rate,
        warmup=2, progress=False,
    )  # fmt: skip


def take_out_lora(model: nn.Module) -> None:
    """Put back, in place, the layers that `add_lora` put detours around."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LoRALinear):
                setattr(parent, name, layer.base)


@torch.no_grad()
def text_loss(
    model: DecoderLM, tokenizer: BPETokenizer, texts: Sequence[str], length: int
) -> float:
    """Loss on the beginnings of texts, nats a token."""
    rows = [tokenizer.encode(text)[:length] for text in texts]
    ids = pad_rows(rows, 0)
    return causal_lm_loss(model(ids), pad_rows(rows, -100)).item()


def with_fewer_bits(model: DecoderLM, bits: int) -> DecoderLM:
    """The model as it is after each linear layer of its blocks was rounded to `bits` bits."""
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for layer in _block_layers(rounded):
            layer.weight.copy_(dequantize_rows(*quantize_rows(layer.weight, bits)))
    return rounded


def block_bytes(model: DecoderLM, bits: int) -> float:
    """What the linear layers of the blocks take with so many bits a number, and a 16-bit scale for
    each row where a number has fewer than 16."""
    weights = [layer.weight for layer in _block_layers(model)]
    scales = sum(len(weight) for weight in weights) * 2 if bits < 16 else 0
    return sum(weight.numel() for weight in weights) * bits / 8 + scales


def _block_layers(model: DecoderLM) -> list[nn.Linear]:
    return [m for block in model.blocks for m in block.modules() if isinstance(m, nn.Linear)]


# Some sentences that are no messages to a shop.
OTHER_TEXT = (
    """The Moon goes round the Earth in a little less than a month. Its gravity pulls at the water
    of the oceans, and so the sea rises and falls twice a day on most coasts.""",
    """To make bread, mix flour, water, salt and yeast, let the dough rest until it has grown to
    twice its size, and bake it in a hot oven until the crust is brown.""",
    """The book was published in 1859 and sold out on the first day. In it the author argued that
    species change over time, and that those who are best adapted leave more children.""",
    """In mathematics, a prime number is a whole number greater than one that can be divided only
    by one and by itself. There are infinitely many of them.""",
)


# What this course's functions do, asked in other words than their docstrings say it in; the answer
# is a name.
QUESTIONS = {
    "Which function keeps only the best logits of a row?": "top k filter",
    "Which function says how much money a request takes?": "prompt cost",
    "Which function puts one new id in the place of two neighbours?": "merge pair",
    "Which function writes what LoRA has added to a file?": "save lora",
    "Which function picks pieces of a long text at random?": "sample windows",
    "Which function joins the channels of all heads?": "merge heads",
    "Which function makes it less likely that a text says the same again?": "repetition penalty",
    "Which function never holds all the scores of attention at once?": "streaming attention",
    "Which function gives the interval around a share of right answers?": "wilson interval",
    "Which function hides the tokens that come later?": "causal mask",
}


def grounded_prompt(question: str, passages: Sequence[str] = ()) -> str:
    """A question as a chat, below the passages that were found for it; the answer is begun."""
    content = "\n".join([*passages, question])
    return chat_prompt([{"role": "user", "content": content}]) + 'The function is called "'


def plain(answer: str) -> str:
    """An answer in small letters and without underscores, as names stand in passages."""
    return answer.lower().replace("_", " ").replace("-", " ")


def answers(
    model: DecoderLM, tokenizer: BPETokenizer, prompts: Sequence[str], n_tokens: int
) -> list[str]:
    """What the model says to each prompt, greedily, in so many tokens at most."""
    ids, mask = pad_left([tokenizer.encode(prompt) for prompt in prompts])
    rows, _ = generate(
        model, ids, max_new_tokens=n_tokens, attention_mask=mask,
        stop_ids=[tokenizer.special_tokens[END]],
    )  # fmt: skip
    return [tokenizer.decode(row).removesuffix(END) for row in rows]
