"""Storyland's numbers are exact, its labels true, its English readable."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import islice

import pytest
import torch

from course_lib.data import storyland_words as words
from course_lib.data.grammar import Choice, Grammar, Token
from course_lib.data.storyland import END, TAGS, Fact, Size, Storyland, spell

PLOTS = ["life", "role", "encounter"]


@cache
def world(size: str = "small", seed: int = 0, plots: tuple[str, ...] = tuple(PLOTS)) -> Storyland:
    return Storyland(seed=seed, size=size, plots=plots)


def every_story(land: Storyland) -> dict[tuple[str, ...], float]:
    """Each story with its log-probability, found by asking for next tokens alone."""
    found = {}
    unfinished = [((), 0.0)]
    while unfinished:
        prefix, log_prob = unfinished.pop()
        probs = land.next_token_probs(land.ids(prefix))
        for i in probs.nonzero().flatten().tolist():
            longer = (*prefix, land.vocab[i]), log_prob + math.log(probs[i])
            if i == land.end_id:
                found[longer[0]] = longer[1]
            else:
                unfinished.append(longer)
    return found


# Exactness.


@pytest.mark.parametrize("plots", [("life",), ("role",), ("encounter",)])
def test_all_stories_of_a_tiny_world_add_up(plots):
    land = world("tiny", plots=plots)
    stories = every_story(land)
    assert len(stories) > 20
    assert math.fsum(map(math.exp, stories.values())) == pytest.approx(1, abs=1e-10)
    entropy = -math.fsum(math.exp(lp) * lp for lp in stories.values())
    length = math.fsum(math.exp(lp) * len(story) for story, lp in stories.items())
    assert land.entropy_rate() == pytest.approx(entropy / length, rel=1e-10)

    counts = Counter()
    for story, lp in stories.items():
        for token in story:
            counts[token] += math.exp(lp) / length
    assert set(counts) == set(land.vocab)
    exact = torch.tensor([counts[token] for token in land.vocab], dtype=torch.float64)
    torch.testing.assert_close(land.unigram_probs(), exact)


@pytest.mark.parametrize("plots", [("life",), ("role",), ("encounter",)])
def test_samples_are_as_frequent_as_their_probability_says(plots):
    land, n = world("tiny", plots=plots), 20_000
    counts = Counter(story.tokens for story in land.stories(n, seed=1))
    stories = every_story(land)
    assert set(counts) <= set(stories)
    # Pearson's statistic with everything rare in one cell.
    cells, rare_expected, rare_seen = [], 0.0, 0
    for story, lp in stories.items():
        expected = n * math.exp(lp)
        if expected < 10:
            rare_expected, rare_seen = rare_expected + expected, rare_seen + counts[story]
        else:
            cells.append((counts[story] - expected) ** 2 / expected)
    if rare_expected:
        cells.append((rare_seen - rare_expected) ** 2 / rare_expected)
    freedom = len(cells) - 1
    assert freedom > 5
    assert abs(sum(cells) - freedom) < 5 * math.sqrt(2 * freedom)


def test_next_tokens_drawn_one_by_one_are_as_frequent_as_sampled_ones():
    land, n = world("tiny"), 1_500
    generator = torch.Generator().manual_seed(0)
    drawn = Counter()
    for _ in range(n):
        ids = []
        while not ids or ids[-1] != land.end_id:
            probs = land.next_token_probs(ids)
            ids.append(torch.multinomial(probs, 1, generator=generator).item())
        drawn.update(set(ids))
    sampled = Counter()
    for story in land.stories(n, seed=2):
        sampled.update(set(story.ids.tolist()))
    for i in range(len(land.vocab)):
        share = (drawn[i] + sampled[i]) / (2 * n)
        assert abs(drawn[i] - sampled[i]) <= 5 * math.sqrt(2 * n * share * (1 - share)) + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("size", ["tiny", "small", "full"])
def test_cross_entropy_of_its_own_text_comes_to_the_entropy_rate(size):
    land = world(size)
    # Nats above the rate, story by story: their mean is zero if the rate is right.
    rate = land.entropy_rate()
    excess = torch.tensor(
        [float(-s.log_probs.sum()) - rate * len(s.tokens) for s in land.stories(800, seed=3)]
    )
    assert abs(excess.mean()) < 4 * excess.std() / math.sqrt(len(excess))
    lengths = [len(s.tokens) for s in land.stories(800, seed=3)]
    # The test would notice an error of a tenth.
    assert 4 * excess.std() / math.sqrt(len(excess)) < 0.1 * rate * sum(lengths) / len(lengths)


@pytest.mark.parametrize("size", ["tiny", "small", "full"])
def test_next_token_probs_sum_to_one_and_are_the_log_probs(size):
    land = world(size)
    for story in land.stories(8, seed=4):
        for t, token in enumerate(story.ids):
            probs = land.next_token_probs(story.ids[:t])
            assert probs.shape == (len(land.vocab),) and probs.min() >= 0
            assert probs.sum().item() == pytest.approx(1, abs=1e-12)
            assert math.log(probs[token]) == pytest.approx(story.log_probs[t].item(), abs=1e-12)


def test_a_prefix_may_hold_whole_stories():
    land = world()
    first, second = land.stories(2, seed=5)
    both = torch.cat([first.ids, second.ids])
    torch.testing.assert_close(land.log_probs(both), torch.cat([first.log_probs, second.log_probs]))
    start = land.next_token_probs([])
    torch.testing.assert_close(land.next_token_probs(first.ids), start)


def test_no_text_of_a_world_with_every_sentence_has_two_derivations():
    # Four wordings are as many as any sentence has.
    grammar = Storyland(size=Size(people=4, words=4, topics=3))._grammar
    seen, unread = {grammar.beginning}, [grammar.beginning]
    while unread:  # every state there is: `next_tokens` raises where two derivations meet
        for _, belief in grammar.next_tokens(unread.pop()).values():
            if belief not in seen:
                seen.add(belief)
                unread.append(belief)
    assert len(seen) > 3_000


def test_an_ambiguous_a_recursive_or_an_empty_grammar_is_refused():
    twice = Choice(lambda: [(1, (Token("a"),)), (2, (Token("a"),))])
    grammar = Grammar(twice)
    with pytest.raises(ValueError, match="two ways"):
        grammar.next_tokens(grammar.beginning)
    loop = Choice(lambda: [(1, (Token("a"), loop)), (1, (Token("b"),))])
    with pytest.raises(ValueError, match="recursive"):
        Grammar(loop).entropy
    with pytest.raises(ValueError, match="at least one option"):
        Grammar(Choice(list)).entropy
    with pytest.raises(ValueError, match="above 0"):
        Grammar(Choice(lambda: [(0, (Token("a"),))])).entropy


def test_a_text_that_cannot_be_is_impossible_until_its_story_ends():
    land = world()
    wrong = land.ids(["the", "the", "dog", END])
    (story,) = land.stories(1, seed=6)
    log_probs = land.log_probs(torch.cat([wrong, story.ids]))
    assert log_probs[0].isfinite() and log_probs[1:4].isneginf().all()
    torch.testing.assert_close(log_probs[4:], story.log_probs)
    with pytest.raises(ValueError, match="'the'"):
        land.next_token_probs(wrong)


def test_the_person_named_at_the_start_decides_what_is_said_later():
    land = world()
    for person in land.people:
        start = f"{person.first} {person.last} is "
        job, home = person.facts["job"][0], person.facts["home"][0]
        he = {"female": "She", "male": "He"}[person.gender]
        prefix = f"{start}{'an' if job[0] in 'aeiou' else 'a'} {job} from {home}. {he} likes"
        probs = land.next_token_probs(land.encode(prefix))
        liked = {land.vocab[i] for i in probs.nonzero().flatten()}
        assert liked == set(person.facts["food"])
        assert land.vocab[probs.argmax()] == person.facts["food"][0]


# Samples.


def test_equal_seeds_make_equal_worlds_and_stories():
    again = Storyland(seed=0, size="small")
    assert again.vocab == world().vocab
    # Scoring first, in another order, changes nothing.
    for story in reversed(list(again.stories(20, seed=9))):
        assert story.log_probs.isfinite().all()
    assert list(again.stories(30, seed=7)) == list(world().stories(30, seed=7))
    assert again.entropy_rate() == world().entropy_rate()
    mixed = zip(again.stories(10, seed=7), again.stories(10, seed=8))
    assert [one for one, _ in mixed] == list(world().stories(10, seed=7))


def test_another_process_writes_the_same_ids():
    code = (
        "from course_lib.data.storyland import Storyland;"
        "print(Storyland(size='small').sample_ids(500, seed=1).tolist())"
    )
    ids = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert ids.strip() == str(world().sample_ids(500, seed=1).tolist())


def test_other_seeds_differ():
    assert list(world().stories(5, seed=1)) != list(world().stories(5, seed=2))
    assert world(seed=1).people[0].facts != world(seed=0).people[0].facts


def test_sample_ids_are_the_stories_one_after_another():
    land = world()
    ids = land.sample_ids(3_000, seed=11)
    assert ids.shape == (3_000,) and ids.dtype == torch.long
    stories = torch.cat([story.ids for story in land.stories(200, seed=11)])
    assert torch.equal(ids, stories[:3_000])
    assert torch.equal(land.sample_ids(100, seed=11), ids[:100])
    assert land.sample_ids(0, seed=11).shape == (0,)


# Words.


def test_the_full_world_has_over_1500_words_whatever_the_seed():
    land = world("full")
    alphabetic = [token for token in land.vocab if token[0].isalpha()]
    assert len(set(map(str.lower, alphabetic))) > 1_500
    assert set(world("full", seed=5).vocab) == set(land.vocab)
    assert land.unigram_probs().min() > 0
    assert land.unigram_probs().sum().item() == pytest.approx(1)
    assert land.unigram_probs().diff().max() <= 0  # commonest first
    assert land.token_to_id == {token: i for i, token in enumerate(land.vocab)}


def test_word_frequencies_come_to_the_unigram_probs():
    land = world()
    stories = [story.ids for story in land.stories(4_000, seed=12)]
    counts = torch.stack([ids.bincount(minlength=len(land.vocab)) for ids in stories]).double()
    excess = counts - counts.sum(1, keepdim=True) * land.unigram_probs()
    z = excess.mean(0) / (excess.std(0) / math.sqrt(len(stories)))
    assert z[counts.sum(0) > 30].abs().max() < 5


def test_text_and_ids_are_each_others_inverse():
    for size in ("tiny", "small", "full"):
        land = world(size)
        ids = land.sample_ids(20_000, seed=13)
        assert torch.equal(land.encode(land.decode(ids)), ids)


def test_text_reads_as_english():
    land = world("full")
    text = land.decode(land.sample_ids(60_000, seed=14))
    assert not re.search(r"[ \n][,.]|,,|\.\.|  |[{}_<>]", text)
    for story in text.split("\n")[:-1]:
        assert story.endswith(".") and story[0].isupper()
        assert all(sentence[0].isupper() for sentence in story.split(". "))
    silent_or_consonant = {"an hourglass", "an heir", "an heiress", "a uniform", "a ukulele"}
    for phrase in re.findall(r"\b[Aa]n? [a-z][\w-]*", text):
        phrase = phrase.lower()
        if phrase not in silent_or_consonant:
            assert (phrase[1] == "n") == (phrase.split()[1][0] in "aeiou"), phrase


def test_spelling():
    tokens = ["the", "dog", "chased", "Anna", ",", "not", "Ben", ".", "she", "ran", ".", END]
    assert spell(tokens[:-1]) == "The dog chased Anna, not Ben. She ran."
    assert spell(tokens + tokens[:2]) == "The dog chased Anna, not Ben. She ran.\nThe dog"
    assert spell([]) == ""


def test_categories_are_words_of_one_kind():
    land = world("full")
    members = [word for kind in land.categories.values() for word in kind]
    assert len(members) == len(set(members)) > 1_000
    assert set(members) <= set(land.vocab)
    assert "queen" in land.categories["female roles"] and "king" in land.categories["male roles"]
    assert "Florence" not in members  # a woman and a city
    assert "chicken" not in members  # an animal and a food
    assert all(len(kind) > 5 for kind in land.categories.values())


def test_analogies_have_one_known_answer():
    land = world("full")
    pairs = land.gender_pairs
    for pair in ("king queen", "man woman", "prince princess", "actor actress", "father mother",
                 "son daughter", "uncle aunt", "boy girl"):  # fmt: skip
        assert tuple(pair.split()) in pairs
    analogies = land.analogies()
    assert len(analogies) == len(set(analogies)) == 2 * len(pairs) * (len(pairs) - 1)
    assert ("man", "woman", "king", "queen") in analogies
    assert ("queen", "king", "aunt", "uncle") in analogies
    for a, b, c, d in analogies:
        assert len({a, b, c, d}) == 4 and {a, b, c, d} <= set(land.vocab)


def test_what_is_said_of_a_role_splits_into_role_and_gender():
    # log P(word near king) - log P(word near queen) is the same as for man and woman if a word
    # belongs to neither or to both pairs: the additive structure that analogies need.
    land = world("small", plots=("role",))
    near = {name: Counter() for pair in land.gender_pairs for name in pair}
    for story in land.stories(4_000, seed=15):
        role = next(token for token in story.tokens if token in near)
        near[role].update(token for token in story.tokens if token not in near)
    for male, female in land.gender_pairs:
        only_male = set(near[male]) - set(near[female])
        only_female = set(near[female]) - set(near[male])
        # Articles follow the spelling of the role (an actor, a wizard); rare words are chance.
        common = {w for w in only_male | only_female if near[male][w] + near[female][w] > 20}
        assert {"he", "his", "himself", "she", "her", "herself"} == common - {"a", "an"}


# Labels.


def test_entities_align_with_their_tokens():
    land = world("full")
    people = {person.first: person for person in land.people}
    cities = {city.split()[0] for city, _ in words.CITIES}
    countries = {country.split()[0] for _, country in words.CITIES}
    animals = {name.split()[0] for name in words.WORDS["animal"] + words.WORDS["pet"]}
    seen = Counter()
    for story in land.stories(3_000, seed=16):
        assert len(story.tokens) == len(story.entities)
        assert set(story.entities) <= set(TAGS)
        before = "O"
        for token, tag in zip(story.tokens, story.entities):
            if tag == "B-PERSON":
                assert token in people
            elif tag == "B-PLACE":
                assert token in cities | countries
            elif tag == "B-ANIMAL":
                assert token in animals
            elif tag.startswith("I-"):
                assert before[1:] == tag[1:]
            else:
                assert token[0].islower() or token in (",", ".", END) or not token.isalpha() or (
                    token in words.WORDS["month"] + words.WORDS["day"] + words.WORDS["language"]
                )  # fmt: skip
            before = tag
            seen[token, tag] += 1
    assert seen["Florence", "B-PERSON"] and seen["Florence", "B-PLACE"]
    assert seen["York", "I-PLACE"] and seen["chicken", "B-ANIMAL"] and seen["chicken", "O"]


def test_sentiment_is_that_of_the_feeling_which_is_not_negated():
    land = world("full")
    good, bad = set(words.MOODS["positive"]), set(words.MOODS["negative"])
    assert not good & bad
    seen = Counter()
    for story in land.stories(2_000, seed=17):
        last = spell(story.tokens[:-2]).rsplit(". ", 1)[-1].split()
        denied = {w for pattern in (r"not ([\w-]+)", r"than ([\w-]+)")
                  for w in re.findall(pattern, " ".join(last))}  # fmt: skip
        feelings = [word.rstrip(",") for word in last if word.rstrip(",") in good | bad]
        (felt,) = [word for word in feelings if word not in denied]
        assert story.sentiment == ("positive" if felt in good else "negative")
        assert story.negated == bool(denied) == (len(feelings) == 2)
        seen[story.sentiment, story.negated] += 1
    assert min(seen.values()) > 400


def test_words_without_order_say_nothing_of_a_negated_mood():
    land = world("full")
    feelings = set(words.MOODS["positive"] + words.MOODS["negative"])
    checked = 0
    for story in land.stories(200, seed=18):
        if story.negated:
            first, second = (t for t, token in enumerate(story.tokens) if token in feelings)
            mirrored = list(story.tokens)
            mirrored[first], mirrored[second] = mirrored[second], mirrored[first]
            total = land.log_probs(land.ids(mirrored)).sum().item()
            assert total == pytest.approx(story.log_probs.sum().item(), abs=1e-9)
            checked += 1
    assert checked > 50


def test_facts_say_who_did_what_in_active_and_passive():
    land = world("full", plots=("encounter",))
    voices = Counter()
    for story in land.stories(1_000, seed=19):
        deed, answer = story.facts
        text = story.text.split(". ")
        active = f"The {deed.agent} {deed.verb} the {deed.patient} near"
        passive = f"The {deed.patient} was {deed.verb} by the {deed.agent} near"
        assert text[0].startswith((active, passive))
        assert text[1] == f"The {answer.agent} {answer.verb} the {answer.patient}"
        assert (answer.agent, answer.patient) == (deed.patient, deed.agent)
        voices[text[0].startswith(passive)] += 1
    assert voices[True] > 200 and voices[False] > 400


def test_words_without_order_say_nothing_of_who_did_it():
    land = world("full", plots=("encounter",))
    for story in land.stories(100, seed=20):
        agent, _, patient = story.facts[0]
        exchange = {agent: patient, patient: agent}
        mirrored = land.ids([exchange.get(token, token) for token in story.tokens])
        total = land.log_probs(mirrored).sum().item()
        assert total == pytest.approx(story.log_probs.sum().item(), abs=1e-9)


def test_facts_of_a_life_name_persons_where_the_story_says_he():
    land = world("full")
    people = {person.first: person for person in land.people}
    finds = helps = 0
    for story in (s for s in land.stories(2_000, seed=21) if s.plot == "life"):
        for fact in story.facts:
            assert fact.verb in story.text and fact.agent in people
            if fact.patient in words.WORDS["object"]:
                finds += 1
                assert fact.agent == story.tokens[story.entities.index("B-PERSON")]
                assert story.text.count(fact.patient) >= 2  # and it comes back
            else:
                helps += 1
                assert fact.patient in people
                he = {"female": "she", "male": "he"}[people[fact.agent].gender]
                assert re.search(rf"\b({fact.agent}|{he}) {fact.verb} ", story.text, re.IGNORECASE)
    assert finds > 300 and helps > 300


def test_every_plot_is_told_and_can_be_told_alone():
    told = Counter(story.plot for story in world().stories(2_000, seed=22))
    assert told["life"] > told["role"] > told["encounter"] > 300
    for plot in PLOTS:
        alone = world("small", plots=(plot,))
        assert {story.plot for story in alone.stories(50, seed=23)} == {plot}
        assert set(alone.vocab) <= set(world().vocab)


def test_a_size_of_ones_own():
    land = Storyland(size=Size(people=6, words=3, topics=2))
    assert len(land.people) == 6
    assert Counter(person.gender for person in land.people) == {"female": 3, "male": 3}
    assert len(world("tiny").vocab) < len(land.vocab) < len(world().vocab)
    for story in islice(land.stories(50, seed=1), 20):
        assert story.log_probs.isfinite().all()


# The door.


@pytest.mark.parametrize(
    ("arguments", "error", "names"),
    [
        ({"size": "huge"}, ValueError, "size"),
        ({"size": 3}, ValueError, "size"),
        ({"seed": 1.5}, TypeError, "seed"),
        ({"seed": True}, TypeError, "seed"),
        ({"plots": "life"}, TypeError, "plots"),
        ({"plots": ()}, ValueError, "plots"),
        ({"plots": ("life", "opera")}, ValueError, "opera"),
    ],
)
def test_bad_worlds_are_refused(arguments, error, names):
    with pytest.raises(error, match=names):
        Storyland(**arguments)


@pytest.mark.parametrize(
    ("people", "n_words", "topics", "error"),
    [(3, 2, 1, ValueError), (0, 2, 1, ValueError), (242, 2, 1, ValueError), (4, 0, 1, ValueError),
     (4, 2, 0, ValueError), (4.0, 2, 1, TypeError), (4, True, 1, TypeError)],
)  # fmt: skip
def test_bad_sizes_are_refused(people, n_words, topics, error):
    with pytest.raises(error):
        Size(people=people, words=n_words, topics=topics)


def test_bad_arguments_are_refused():
    land = world("tiny")
    with pytest.raises(ValueError, match="n must be at least 0"):
        land.stories(-1, seed=0)
    with pytest.raises(TypeError, match="seed"):
        land.stories(1, seed=None)
    with pytest.raises(TypeError, match="n_tokens"):
        land.sample_ids(1.0, seed=0)
    with pytest.raises(ValueError, match="dragonfruit"):
        land.ids(["the", "dragonfruit"])
    with pytest.raises(ValueError, match="dragonfruit"):
        land.encode("The dragonfruit.")
    for method in (land.log_probs, land.next_token_probs, land.decode):
        with pytest.raises(ValueError, match="between 0 and"):
            method([len(land.vocab)])
        with pytest.raises(ValueError, match="between 0 and"):
            method([-1])
        with pytest.raises(ValueError, match="one dimension"):
            method(torch.zeros(1, 2, dtype=torch.long))
        with pytest.raises(TypeError, match="integers"):
            method(torch.zeros(2))


def test_facts_are_plain_triples():
    assert Fact("dog", "chased", "man") == ("dog", "chased", "man")
