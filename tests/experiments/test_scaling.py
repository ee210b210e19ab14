import torch

from course_lib.data.facts import FactLanguage
from course_lib.decoder import DecoderLM
from course_lib.experiments.scaling import (
    Run,
    config_of,
    held_out_loss,
    minimise_with_scipy,
    run_training,
    stored_curves,
    stored_sweep,
)
from course_lib.scaling import (
    ScalingLaw,
    minimise_huber,
    parametric_loss,
    screened_grid,
    training_flops,
)
from course_lib.transformer import count_parameters


def test_a_training_spends_its_budget_and_learns():
    run = run_training(Run(width=8, flops=3e8, seed=0))
    assert run["flops"] == training_flops(run["params"], run["tokens"])
    assert abs(run["flops"] / 3e8 - 1) < 0.05
    tokens, losses = zip(*run["curve"])
    assert list(tokens) == sorted(tokens) and tokens[-1] == run["tokens"]
    assert losses[-1] < losses[0] < 3.6  # log 33 = 3.5 is guessing
    again = run_training(Run(width=8, flops=3e8, seed=0))
    assert again["loss"] == run["loss"]


def test_the_best_possible_model_loses_the_entropy():
    """Held-out loss takes off what this text is harder than the average."""
    language = FactLanguage(0)

    class Best(torch.nn.Module):
        """Knows all facts: what it says of the first token depends on nothing, and so on."""

        def forward(self, ids):
            logits = torch.full((*ids.shape, language.vocab_size), -30.0, dtype=torch.float64)
            probs = language.log_probs.exp()
            for row in range(len(ids)):
                for start in range(0, ids.shape[1] - 1, 5):
                    left = torch.ones(len(language.facts), dtype=torch.bool)
                    for i in range(5):
                        weights = torch.zeros(language.vocab_size, dtype=torch.float64)
                        weights.index_add_(0, language.facts[left, i], probs[left])
                        logits[row, start + i] = (weights / weights.sum()).clamp(min=1e-30).log()
                        left &= language.facts[:, i] == ids[row, start + i + 1]
            return logits

    assert abs(held_out_loss(Best(), language, rows=16) - language.entropy) < 1e-4
    untrained = DecoderLM(config_of(8, language), torch.Generator().manual_seed(0))
    assert held_out_loss(untrained, language, rows=64) > 3


def test_the_stored_tables_are_what_they_say():
    sweep, language = stored_sweep(), FactLanguage(0)
    for width, params in zip(sweep["width"].int().tolist(), sweep["params"].tolist()):
        assert count_parameters(config_of(width, language))["non_embedding"] == params
    torch.testing.assert_close(sweep["flops"], 6 * sweep["params"] * sweep["tokens"])
    torch.testing.assert_close(sweep["flops"], sweep["budget"], rtol=0.02, atol=0)
    assert (sweep["loss"] > language.entropy).all()
    keys = torch.stack([sweep[name] for name in ("budget", "params", "seed")], dim=1)
    assert len(keys.unique(dim=0)) == len(keys)

    curves = stored_curves()
    assert len(curves) == len(keys)
    for _, flops, loss in curves:
        assert (flops.diff() > 0).all() and len(flops) == len(loss)


def test_scipy_arrives_on_the_scaled_objective_and_stops_early_on_the_mean():
    generator = torch.Generator().manual_seed(0)
    n, d = (10 ** (low + 2 * torch.rand(60, generator=generator).double()) for low in (8, 10))
    law = ScalingLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    loss = parametric_loss(n, d, law) * (0.01 * torch.randn(60, generator=generator)).exp()
    starts = screened_grid(n, d, loss, keep=8)
    _, ours = minimise_huber(starts, n.log(), d.log(), loss.log())
    _, scaled = minimise_with_scipy(starts, n, d, loss, scale=1.0)
    _, mean = minimise_with_scipy(starts, n, d, loss, scale=1e-3 / 60)
    assert abs(scaled.min() - ours.min()) < 1e-4
    assert mean.min() > 1.1 * ours.min()
