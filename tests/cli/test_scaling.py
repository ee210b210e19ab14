"""`course fit-scaling`, as it is typed."""

import pytest
import torch
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.scaling import ScalingLaw, parametric_loss

LAW = ScalingLaw(E=1.3, A=40.0, B=90.0, alpha=0.45, beta=0.35)


@pytest.fixture
def table(tmp_path):
    generator = torch.Generator().manual_seed(0)
    n = (10 ** (3 + 2 * torch.rand(30, generator=generator))).tolist()
    d = (10 ** (5 + 2 * torch.rand(30, generator=generator))).tolist()
    rows = [f"{x},{y},{parametric_loss(x, y, LAW)}" for x, y in zip(n, d, strict=True)]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["params,tokens,loss", *rows]))
    return path


def fit(*arguments):
    return CliRunner(env={"TERM": "dumb"}).invoke(app, ["fit-scaling", *map(str, arguments)])


def test_prints_constants_and_the_best_choice_and_draws(table, tmp_path):
    figure = tmp_path / "out.png"
    result = fit(table, "--quick", "--bootstrap", 20, "--budget", 6e11, "--figure", figure)
    assert result.exit_code == 0, result.output
    for word in ("E", "alpha", "best parameters", "best tokens", "6e+11"):
        assert word in result.output
    alpha = next(line for line in result.output.splitlines() if line.split()[:1] == ["alpha"])
    assert [float(x) for x in alpha.split()[1:]] == pytest.approx([0.45] * 3, rel=1e-3)
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_without_a_figure_name_it_stands_beside_the_table(table):
    assert fit(table, "--quick", "--bootstrap", 0).exit_code == 0
    assert table.with_suffix(".png").exists()


def test_a_bad_table_is_said_in_a_line(table):
    table.write_text(table.read_text().replace("params", "size", 1))
    result = fit(table, "--quick")
    assert result.exit_code == 1
    assert "must have the columns params, tokens or flops, loss" in result.output
    assert "Traceback" not in result.output
    assert fit("nowhere.csv").exit_code == 1
    result = fit(table, "--budget", 0)
    assert result.exit_code == 1 and "budget must be above 0" in result.output


def test_losses_that_rise_have_a_law_and_no_best_choice(tmp_path):
    path = tmp_path / "rising.csv"
    rows = [f"{n},{d},{2 + n / 1e5 + d / 1e7}" for n in (1e3, 4e3, 2e4) for d in (1e5, 5e5, 4e6)]
    path.write_text("\n".join(["params,tokens,loss", *rows]))
    result = fit(path, "--quick", "--bootstrap", 5)
    assert result.exit_code == 1 and "No best choice by this law" in result.output
    assert "alpha" in result.output and "Traceback" not in result.output


def test_refits_that_run_away_do_not_stop_it(tmp_path):
    """Nine noisy runs say little: in some resamples a term vanishes or grows without end."""
    generator = torch.Generator().manual_seed(0)
    n, d = (10 ** (low + 2 * torch.rand(9, generator=generator)) for low in (3, 5))
    loss = parametric_loss(n, d, LAW) * (0.1 * torch.randn(9, generator=generator)).exp()
    path = tmp_path / "noisy.csv"
    table = torch.stack([n, d, loss], dim=1).tolist()
    path.write_text("\n".join(["params,tokens,loss", *(",".join(map(str, row)) for row in table)]))
    result = fit(path, "--quick", "--bootstrap", 100)
    assert result.exit_code == 0, result.output
    assert "nan" not in result.output and "left out" in result.output
