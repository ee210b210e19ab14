"""The experiments of notebook 10: trainings under a budget, and a minimiser that stops early."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor, nn

from course_lib.data.facts import FactLanguage
from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.objectives import causal_lm_loss
from course_lib.scaling import huber_objective
from course_lib.training import train
from course_lib.transformer import count_parameters

FACTS_A_ROW = 4
LANGUAGE_SEED = 0
HELD_OUT_SEED = 2**31  # no run draws from it
CURVE_POINTS = 16


@dataclass(frozen=True)
class Run:
    """What decides a training, all of it.

    Attributes:
        width: channels of the model; the rest of its shape follows.
        flops: the budget C; it reads D = C / 6 N tokens.
        seed: of the first weights and the text.
        rate: the learning rate is this over the width. Halving and doubling 0.4 was tried, see
            `benchmarks/scaling_sweep.py`.
    """

    width: int
    flops: float
    seed: int
    rate: float = 0.4


def config_of(width: int, language: FactLanguage) -> DecoderConfig:
    """Two layers, two heads, a feed-forward four times as wide."""
    return DecoderConfig(
        vocab_size=language.vocab_size,
        max_length=1 + FACTS_A_ROW * language.fact_length,
        width=width,
        n_layers=2,
        n_heads=2,
        ffn_width=4 * width,
    )


def run_training(run: Run) -> dict[str, Any]:
    """Train one model from nothing to the end of its budget.

    The batch grows with the square root of the tokens, the learning rate falls with the width; the
    warm-up takes the first tenth, and the cosine ends where the run ends.

    Returns:
        `params` (non-embedding), `tokens` (read in fact), `flops` (6 * params * tokens), `loss`
        (held out, nats per token), `width`, `rows` (a batch), `steps`, `learning_rate`, `seed`,
        `seconds` (of the processor), and `curve`: (tokens, loss) at some points on the way.
    """
    start = time.process_time()
    language = FactLanguage(LANGUAGE_SEED)
    config = config_of(run.width, language)
    n_params = count_parameters(config)["non_embedding"]
    n_tokens = run.flops / (6 * n_params)
    rows = max(4, round(0.5 * math.sqrt(n_tokens) / config.max_length))
    tokens_a_step = rows * config.max_length
    steps = max(1, round(n_tokens / tokens_a_step))

    generator = torch.Generator().manual_seed(run.seed)
    model = DecoderLM(config, generator)
    looks = torch.logspace(math.log10(steps / 32), math.log10(steps), CURVE_POINTS)
    look_at = {max(1, round(step)) for step in looks.tolist()}
    curve = []

    def next_loss(generator: torch.Generator) -> Float[Tensor, ""]:
        ids = language.spell(language.draw(rows, FACTS_A_ROW, generator))
        return causal_lm_loss(model(ids), ids)

    def look(step: int, _: nn.Module) -> None:
        if step in look_at:
            curve.append((step * tokens_a_step, held_out_loss(model, language, rows=512)))

    train(
        model,
        next_loss,
        steps=steps,
        generator=generator,
        learning_rate=run.rate / run.width,
        warmup=steps // 10,
        progress=False,
        on_step=look,
    )
    return {
        "params": n_params,
        "tokens": steps * tokens_a_step,
        "flops": 6 * n_params * steps * tokens_a_step,
        "loss": held_out_loss(model, language, rows=4096),
        "width": run.width,
        "rows": rows,
        "steps": steps,
        "learning_rate": run.rate / run.width,
        "seed": run.seed,
        "seconds": time.process_time() - start,
        "curve": curve,
    }


@torch.no_grad()
def held_out_loss(model: DecoderLM, language: FactLanguage, rows: int) -> float:
    """Nats per token on text of its own, the same for every model.

    Some texts are harder than others, and here it is known by how much: what the best possible
    model loses on this text more than on average is taken off.
    """
    drawn = language.draw(rows, FACTS_A_ROW, torch.Generator().manual_seed(HELD_OUT_SEED))
    parts = language.spell(drawn).split(512)
    loss = sum(causal_lm_loss(model(ids), ids).item() for ids in parts) / len(parts)
    best_possible = -language.log_probs[drawn].mean().item() / language.fact_length
    return loss - best_possible + language.entropy


def stored_sweep(name: str = "scaling_sweep") -> dict[str, Float[Tensor, "rows"]]:
    """The columns of a table that `benchmarks/scaling_sweep.py` has written: "scaling_sweep", a row
    for each training, or "scaling_curves", a row for each look at one on its way."""
    with (resources.files("course_lib.data") / f"{name}.csv").open() as file:
        table = np.genfromtxt(file, delimiter=",", names=True)
    return {column: torch.tensor(table[column]) for column in table.dtype.names or ()}


def stored_curves() -> list[tuple[float, Float[Tensor, "looks"], Float[Tensor, "looks"]]]:
    """The training curves of the stored sweep, as `training_envelope` takes them."""
    looks = stored_sweep("scaling_curves")
    runs = torch.stack([looks[name] for name in ("budget", "params", "seed")], dim=1)
    curves = []
    for run in runs.unique(dim=0):
        rows = (runs == run).all(dim=1)
        curves.append((run[1].item(), looks["flops"][rows], looks["loss"][rows]))
    return curves


def minimise_with_scipy(
    starts: Float[Tensor, "starts 5"],
    n: Float[Tensor, "runs"],
    d: Float[Tensor, "runs"],
    loss: Float[Tensor, "runs"],
    scale: float,
    delta: float = 1e-3,
) -> tuple[Float[Tensor, "starts 5"], Float[Tensor, "starts"]]:
    """What `minimise_huber` does, by SciPy's L-BFGS-B with its usual stopping tests, on `scale`
    times the sum of Huber(r) / delta.

    The scale changes nothing about where the lowest point is, but the tests hold the gradient
    against a fixed number: what is scaled down far enough has arrived wherever it stands.

    Returns:
        Where each start ends, and sum of Huber(r) / delta there.
    """
    log_n, log_d, log_loss = (x.double().log()[None] for x in (n, d, loss))

    def objective(place: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.tensor(place[None], requires_grad=True)
        value = scale * huber_objective(point, log_n, log_d, log_loss, delta).sum()
        (gradient,) = torch.autograd.grad(value, point)
        return value.item(), gradient[0].numpy()

    found = [minimize(objective, start, jac=True, method="L-BFGS-B") for start in starts.numpy()]
    ends = torch.tensor(np.array([one.x for one in found]))
    return ends, torch.tensor([one.fun / scale for one in found], dtype=torch.float64)
