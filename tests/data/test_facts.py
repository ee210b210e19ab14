import pytest
import torch

from course_lib.data.facts import FactLanguage


def small(**options):
    return FactLanguage(**{"seed": 0, "n_symbols": 4, "key_length": 2, "value_length": 1} | options)


def test_every_key_has_one_fact():
    language = small()
    keys = language.facts[:, :2]
    assert len(language.facts) == 16 == len(keys.unique(dim=0))
    assert language.facts.min() >= 0 and language.facts.max() < 4
    assert (language.vocab_size, language.fact_length, language.start_id) == (5, 3, 4)


def test_facts_come_as_often_as_they_should():
    language = small()
    drawn = language.draw(2000, 10, torch.Generator().manual_seed(0))
    shares = drawn.flatten().bincount(minlength=16) / drawn.numel()
    torch.testing.assert_close(shares.double(), language.log_probs.exp(), atol=0.01, rtol=0)
    weights = torch.arange(1, 17).double() ** -1.1
    torch.testing.assert_close(language.log_probs.exp(), weights / weights.sum())


def test_a_text_is_the_start_token_and_its_facts():
    language = small()
    ids = language.spell(torch.tensor([[3, 0], [1, 1]]))
    assert ids.shape == (2, 7)
    assert (ids[:, 0] == language.start_id).all()
    assert ids[0, 1:].tolist() == language.facts[3].tolist() + language.facts[0].tolist()


def test_entropy_is_the_mean_surprise_of_the_best_possible_model():
    language = small(exponent=0.0)
    assert language.entropy == pytest.approx(torch.tensor(16.0).log().item() / 3)
    language = small()
    drawn = language.draw(5000, 4, torch.Generator().manual_seed(1))
    assert -language.log_probs[drawn].mean() / 3 == pytest.approx(language.entropy, rel=0.02)


def test_the_seed_decides_the_facts_and_the_generator_the_text():
    assert torch.equal(small().facts, small().facts)
    assert not torch.equal(small().facts, small(seed=1).facts)
    one, two = (small().draw(3, 4, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("options", "naming"),
    [({"n_symbols": 0}, "n_symbols"), ({"key_length": 0}, "key"), ({"exponent": -1}, "exponent")],
)
def test_bad_sizes_are_refused(options, naming):
    with pytest.raises(ValueError, match=naming):
        small(**options)
