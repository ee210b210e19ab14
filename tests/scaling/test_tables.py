import pytest
import torch

from course_lib.scaling import read_runs

GOOD = "params,tokens,loss\n" + "".join(
    f"{n},{d},{3 - i / 10}\n" for i, (n, d) in enumerate(zip([1e3, 2e3, 4e3] * 2, range(1, 7)))
)


def write(tmp_path, text):
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_reads_tokens_or_flops_and_looks_at_no_other_column(tmp_path):
    by_tokens = read_runs(write(tmp_path, GOOD))
    assert by_tokens.n.dtype == torch.float64 and len(by_tokens.n) == 6
    lines = ["loss,seed,flops,params"]
    lines += [f"{x},a,{6 * n * d},{n}" for n, d, x in zip(*(c.tolist() for c in by_tokens))]
    by_flops = read_runs(write(tmp_path, "\n".join(lines)))
    for one, other in zip(by_tokens, by_flops, strict=True):
        torch.testing.assert_close(one, other)


def test_reads_what_spreadsheets_write(tmp_path):
    plain = read_runs(write(tmp_path, GOOD))
    odd = read_runs(write(tmp_path, "\ufeff" + GOOD.replace(",", ", ").replace("\n", "\r\n")))
    for one, other in zip(plain, odd, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must have the columns params, tokens or flops, loss, got"),
        ("params,loss\n1,2\n", "tokens or flops"),
        (GOOD.replace("2000.0,2", "2000.0,"), "line 3: tokens must be a number, got nothing"),
        (GOOD.replace("2000.0,2", "2000.0,many"), "line 3: tokens must be a number, got 'many'"),
        (GOOD.replace("2000.0,2", "-2000.0,2"), "line 3: params must be above 0, got -2000.0"),
        (GOOD.replace("2000.0,2", "nan,2"), "line 3: params must be above 0, got nan"),
        (GOOD + "1000", "line 8: tokens must be a number, got nothing"),
        ("\n".join(GOOD.splitlines()[:5]), "at least 6 runs, got 4"),
        (GOOD.replace("2000.0", "1000.0").replace("4000.0", "1000.0"), "model sizes, got 1"),
    ],
)
def test_says_what_is_wrong_with_a_table(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        read_runs(write(tmp_path, text))
