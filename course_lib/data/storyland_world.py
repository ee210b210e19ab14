"""The people of Storyland, what is true of them, and the rules by which their stories are told."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, wraps
from random import Random
from typing import Any, Literal, TypeVar, cast

from course_lib.data import storyland_words as words
from course_lib.data.grammar import Choice, Note, Production, Symbol, Token

END = "<end>"  # the last token of every story
PLOTS = {"life": 0.5, "role": 0.3, "encounter": 0.2}  # and how often each is told

PRONOUNS = {
    "female": {"pronoun": "she", "him": "her", "his": "her", "himself": "herself"},
    "male": {"pronoun": "he", "him": "him", "his": "his", "himself": "himself"},
}

# For each kind of fact, the words it is taken from and how many of them each person has.
FACTS = {
    "home": ("city", 1),
    "job": ("job", 1),
    "dwelling": ("dwelling", 1),
    "spot": ("spot", 1),
    "vehicle": ("vehicle", 2),
    "day": ("day", 2),
    "subject": ("subject", 1),
    "trip": ("city", 2),
    "language": ("language", 1),
    "food": ("food", 4),
    "disliked": ("food", 1),
    "drink": ("drink", 2),
    "daypart": ("daypart", 2),
    "pet": ("pet", 1),
    "room": ("room", 1),
    "season": ("season", 1),
    "hobby": ("hobby", 3),
    "instrument": ("instrument", 1),
    "sport": ("sport", 2),
    "colour": ("colour", 2),
    "garment": ("garment", 3),
    "flower": ("flower", 2),
    "month": ("month", 2),
    "animal": ("animal", 2),
}
ENTITIES = dict.fromkeys(["home", "trip", "country"], "PLACE")
ENTITIES |= dict.fromkeys(["pet", "animal"], "ANIMAL")

Gender = Literal["female", "male"]
Item = TypeVar("Item")
Options = Iterator[tuple[float, Production]]


@dataclass(frozen=True)
class Size:
    """How large a world is.

    Attributes:
        people: number of people, half of them women; even, 2 to 240.
        words: at most this many words of each kind, and wordings of each sentence.
        topics: at most this many sentences in the middle of a story.

    Raises:
        TypeError: a number is not an int.
        ValueError: a number is out of range.
    """

    people: int
    words: int
    topics: int

    def __post_init__(self) -> None:
        for name in ("people", "words", "topics"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be an int, got {type(value).__name__}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        most = 2 * min(len(words.FEMALE_NAMES), len(words.MALE_NAMES))
        if self.people % 2 or self.people > most:
            raise ValueError(f"people must be even and at most {most}, got {self.people}")


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody with a name.

    Attributes:
        first, last: the name; nobody else has the same first name.
        gender: "female" or "male".
        facts: for each kind of fact ("home", "food", ...) what is true, likeliest first.
        friends: likeliest first.
        siblings: everybody else with the same last name.
    """

    first: str
    last: str
    gender: Gender
    facts: dict[str, list[str]]
    friends: list[Person] = field(default_factory=list, repr=False)
    siblings: list[Person] = field(default_factory=list, repr=False)


@dataclass(frozen=True, eq=False)
class Role:
    """Somebody without a name: a king, a waitress."""

    name: str
    gender: Gender
    place: str
    habits: list[str]


def zipf(items: Iterable[Item]) -> list[tuple[float, Item]]:
    """(weight, item) with weights proportional to 1, 1/2, 1/3, ... that sum to one (Zipf, 1935)."""
    items = list(items)
    total = sum(1 / rank for rank in range(1, len(items) + 1))
    return [(1 / rank / total, item) for rank, item in enumerate(items, start=1)]


def deal(rng: Random, items: Sequence[str], hands: int, size: int) -> list[list[str]]:
    """`size` different items for each hand, popular by Zipf's law.

    With at least as many hands as items, no item is left over.
    """
    weights = [weight for weight, _ in zipf(items)]
    first = list(items)[:hands] + rng.choices(items, weights, k=max(0, hands - len(items)))
    rng.shuffle(first)
    dealt = []
    for item in first:
        hand = [item]
        while len(hand) < min(size, len(items)):
            (extra,) = rng.choices(items, weights)
            if extra not in hand:
                hand.append(extra)
        rng.shuffle(hand)
        dealt.append(hand)
    return dealt


@cache
def spoken(text: str, entity: str | None = None) -> tuple[Token, ...]:
    """The tokens of a text; those of an entity are tagged B- (the first) and I- (the others)."""
    first, *others = text.split()
    if entity is None:
        return Token(first), *(Token(word) for word in others)
    return Token(first, f"B-{entity}"), *(Token(word, f"I-{entity}") for word in others)


@cache
def with_article(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """The tokens after "an" if they start with a vowel that is heard, else after "a"."""
    word = tokens[0].text
    heard = re.match(r"[aeiou]|hour|heir", word) and not re.match(r"uni|uku", word)
    return Token("an" if heard else "a"), *tokens


@cache
def pieces(template: str) -> list[str]:
    """A template's words and {slots}, in order."""
    return re.findall(r"\{[^}]+\}|\S+", template)


def rule(method: Callable[..., Options]) -> Callable[..., Choice]:
    """Turn a method that lists weighted productions into one that returns a `Choice`.

    The same arguments give the same `Choice`, so that equal futures are recognised as one.
    """

    @wraps(method)
    def look_up(self: World, *args: Any) -> Choice:
        key = (method.__name__, *args)
        if key not in self._rules:
            self._rules[key] = Choice(lambda: method(self, *args))
        return self._rules[key]

    return look_up


class World:
    """Everybody and everything in Storyland; `story()` is the grammar's start.

    Equal arguments make equal worlds.
    """

    def __init__(self, seed: int, size: Size, plots: Collection[str]) -> None:
        rng = Random(f"Storyland {seed}")
        self._rules: dict[tuple[Any, ...], Choice] = {}
        self.size = size
        self.plots = plots

        def some(entries: Iterable[str]) -> list[str]:
            """The first entries, as many as the size allows, in an order that the seed decides."""
            chosen = self.first(entries)
            rng.shuffle(chosen)
            return chosen

        self.country = dict(words.CITIES)
        self.workplace = dict(words.JOBS)
        self.words = {kind: some(entries) for kind, entries in words.WORDS.items()}
        self.words |= {"city": some(self.country), "job": some(self.workplace)}
        self.moods = {kind: some(entries) for kind, entries in words.MOODS.items()}
        self.verbs = {kind: some(entries) for kind, entries in words.VERBS.items()}
        animals = self.first(words.WORDS["animal"])[:60]
        self.actors = dict.fromkeys(animals, "ANIMAL") | dict.fromkeys(self.words["acquaintance"])
        self.people = self._people(rng)
        self.roles = [
            (Role(male, "male", place, habits), Role(female, "female", place, habits))
            for male, female, place, habits in self.first(words.ROLES)
        ]

    def first(self, items: Iterable[Item]) -> list[Item]:
        """As many of the first items as the size of the world allows."""
        return list(items)[: self.size.words]

    def _people(self, rng: Random) -> list[Person]:
        """Everybody, best known first, in families of about three."""
        n = self.size.people
        surnames = words.SURNAMES[: max(1, n // 3)]
        hands = {kind: deal(rng, self.words[of], n, k) for kind, (of, k) in FACTS.items()}
        names: list[tuple[str, Gender]] = [
            (name, "female") for name in words.FEMALE_NAMES[: n // 2]
        ]
        names += [(name, "male") for name in words.MALE_NAMES[: n // 2]]
        rng.shuffle(names)
        people = [
            Person(first, surnames[i % len(surnames)], gender, {k: hands[k][i] for k in hands})
            for i, (first, gender) in enumerate(names)
        ]
        for person in people:
            others = [other for other in people if other is not person]
            person.siblings.extend(other for other in others if other.last == person.last)
            person.friends.extend(rng.sample(others, min(3, len(others))))
            person.facts["country"] = [self.country[person.facts["home"][0]]]
            person.facts["workplace"] = [self.workplace[person.facts["job"][0]]]
        return people

    # Whole stories.

    @rule
    def story(self) -> Options:
        for plot in self.plots:
            yield PLOTS[plot], (Note("plot", plot), getattr(self, plot)(), Token(END))

    @rule
    def life(self) -> Options:
        for weight, person in zipf(self.people):
            yield weight, (self.introduction(person), self.course(person))

    @rule
    def role(self) -> Options:
        for role in (role for pair in self.roles for role in pair):
            rest = self.talk(role, 0, 0), self.ending(role)
            for template in self.first(words.ROLE_INTRODUCTIONS):
                names = {"role": spoken(role.name), "place": spoken(role.place)}
                yield 1, (*self.fill(template, names=names), *rest)

    @rule
    def encounter(self) -> Options:
        # "The dog ... the man" and "the man ... the dog" are equally likely: a pair's weight is
        # the product of its two weights.
        for weight, one in zipf(self.actors):
            yield weight * (1 - weight), (Token("the"), *self.actor(one), self.encounter_of(one))

    # A life.

    @rule
    def introduction(self, person: Person) -> Options:
        for template in self.first(words.INTRODUCTIONS):
            yield 1, self.fill(template, person)

    @rule
    def course(self, person: Person) -> Options:
        """Talk, perhaps a meeting, a mood; half of the time also a thing found and remembered."""
        talk = self.talk(person, 0, 0)
        end = self.meeting(person), self.ending(person)
        before, after = (self.fill(part, person) for part in words.EVENT)
        yield 1, (talk, *end)
        yield 1, (Note("agent", person.first), *before, self.find(person, after, talk, end))

    @rule
    def find(self, person: Person, after: Production, talk: Choice, end: Production) -> Options:
        for weight, thing in zipf(self.words["object"]):
            found = *with_article(spoken(thing)), Note("patient", thing), *after
            yield weight, (*found, talk, self.subject(person), self.keepsake(thing), *end)

    @rule
    def keepsake(self, thing: str) -> Options:
        for template in self.first(words.KEEPSAKES):
            yield 1, self.fill(template, names={"object": spoken(thing)})

    @rule
    def meeting(self, person: Person) -> Options:
        """Nothing, or a friend who helps or is helped."""
        yield 0.6, ()
        for weight, friend in zipf(person.friends):
            for agent, (deed, reply, short_reply) in words.MEETINGS.items():
                pair = [person.first, friend.first]
                one, two = pair if agent == "name" else pair[::-1]
                if person.gender != friend.gender:
                    reply = short_reply
                did, answered = (self.fill(part, person, friend) for part in (deed, reply))
                yield 0.2 * weight, (*act(one, two), *did, *act(two, one), *answered)

    # An encounter.

    @rule
    def encounter_of(self, one: str) -> Options:
        for weight, passive, templates in (
            (2, False, words.ENCOUNTERS),
            (1, True, words.PASSIVE_ENCOUNTERS),
        ):
            for deed, reply in self.first(templates):
                yield weight, (*self.fill(deed), self.encounter_with(one, passive, reply))

    @rule
    def encounter_with(self, one: str, passive: bool, reply: str) -> Options:
        for weight, two in zipf(self.actors):
            if two != one:
                roles = act(one, two), act(two, one)
                did, answered = reversed(roles) if passive else roles
                names = {"one": self.actor(one), "two": self.actor(two)}
                rest = *answered, *self.fill(reply, names=names), self.ending(None)
                yield weight, (*did, *names["two"], *rest)

    def actor(self, name: str) -> Production:
        return spoken(name, self.actors[name])

    # What lives and roles share.

    @rule
    def talk(self, who: Person | Role, topic: int, told: int) -> Options:
        """Sentences on the topics from `topic` on, each at most once, near ones likelier."""
        topics = range(topic, len(words.TOPICS if isinstance(who, Person) else who.habits))
        if told:
            yield 1, ()
        if topics and told < self.size.topics:
            for weight, chosen in zipf(topics):
                rest = self.talk(who, chosen + 1, told + 1)
                yield 3 * weight, (self.sentence(who, chosen), rest)

    @rule
    def sentence(self, who: Person | Role, topic: int) -> Options:
        if isinstance(who, Role):
            for template in self.first(words.ROLE_SENTENCES):
                template = template.replace("{does}", who.habits[topic])
                yield 1, self.fill(template, who, names={"role": spoken(who.name)})
        else:
            for template in self.first(words.TOPICS[topic]):
                others: Sequence[Person | None] = [None]
                if "{friend}" in template:
                    others = who.friends
                if "{sibling}" in template:
                    others = who.siblings
                for weight, other in zipf(others):
                    yield weight, self.fill(template, who, other)

    @rule
    def ending(self, who: Person | Role | None) -> Options:
        for template in self.first(words.ENDINGS):
            yield 1, self.fill(template, who)

    # Parts of a sentence.

    def fill(
        self,
        template: str,
        who: Person | Role | None = None,
        other: Person | None = None,
        names: Mapping[str, Production] | None = None,
    ) -> Production:
        """The template's words, and a symbol for each {slot}.

        `who` is the subject of the story, `other` the friend or sibling; `names` are slots that
        are known already.
        """
        production: list[Symbol] = []
        for piece in pieces(template):
            if piece.startswith("{"):
                production.extend(self.slot(piece[1:-1], who, other, names or {}))
            else:
                production.append(Token(piece))
        return tuple(production)

    def slot(
        self,
        name: str,
        who: Person | Role | None,
        other: Person | None,
        names: Mapping[str, Production],
    ) -> Production:
        """What stands in a slot: "him", "friend", "food", "a job", "a friend job", ...

        A template names nobody who is not there: the assertions below hold for all of them.
        """
        a, name = name.startswith("a "), name.removeprefix("a ")
        if name in names:
            return with_article(cast(tuple[Token, ...], names[name])) if a else names[name]
        if name in ("friend", "sibling"):
            assert other is not None
            return spoken(other.first, "PERSON")
        if name.startswith(("friend ", "sibling ")):
            name = name.split()[1]
            return self.slot(f"a {name}" if a else name, other, None, {})
        if name == "name":
            assert isinstance(who, Person)
            return spoken(who.first, "PERSON")
        if name == "full":
            assert isinstance(who, Person)
            return spoken(f"{who.first} {who.last}", "PERSON")
        if name == "he":
            return (self.subject(who),)
        if name in PRONOUNS["male"]:
            assert who is not None
            return (Token(PRONOUNS[who.gender][name]),)
        if name == "term":
            assert who is not None
            return (Token("sister" if who.gender == "female" else "brother"),)
        if name == "was":
            return (self.copula("were" if who is None else "was"),)
        if name == "mood":
            return (self.mood(),)
        if name in self.verbs:
            return (self.verb(name),)
        if isinstance(who, Person) and name in who.facts:
            return (self.fact(who, name, a),)
        return (self.word(name, a),)

    @rule
    def subject(self, who: Person | Role | None) -> Options:
        if who is None:
            yield 1, (Token("both"),)
        else:
            yield 2, (Token(PRONOUNS[who.gender]["pronoun"]),)
            name = (
                spoken(who.first, "PERSON")
                if isinstance(who, Person)
                else spoken(f"the {who.name}")
            )
            yield 1, name

    @rule
    def fact(self, person: Person, kind: str, a: bool) -> Options:
        for weight, item in zipf(person.facts[kind]):
            production = spoken(item, ENTITIES.get(kind))
            yield weight, with_article(production) if a else production

    @rule
    def word(self, kind: str, a: bool) -> Options:
        for weight, item in zipf(self.words[kind]):
            yield weight, with_article(spoken(item)) if a else spoken(item)

    @rule
    def verb(self, kind: str) -> Options:
        for weight, verb in zipf(self.verbs[kind]):
            yield weight, (Note("verb", verb), *spoken(verb))

    @rule
    def copula(self, verb: str) -> Options:
        yield 1, (Token(verb),)
        yield 1, (Token("felt"),)

    @rule
    def mood(self) -> Options:
        """A feeling, or a feeling and its negated opposite."""
        # Exchanging the two feelings of a negated mood gives the other mood, equally likely and
        # in the same words: no bag of words can tell them apart.
        for sentiment, opposite in (("positive", "negative"), ("negative", "positive")):
            label = Note("sentiment", sentiment)
            yield 1, (label, Note("negated", False), self.feeling(sentiment))
            slots = {"mood": (self.feeling(sentiment),), "opposite": (self.feeling(opposite),)}
            templates = self.first(words.NEGATED_MOODS)
            for template in templates:
                negated = self.fill(template, names=slots)
                yield 1 / len(templates), (label, Note("negated", True), *negated)

    @rule
    def feeling(self, sentiment: str) -> Options:
        for weight, feeling in zipf(self.moods[sentiment]):
            yield weight, spoken(feeling)


def act(agent: str, patient: str) -> Production:
    """The notes of who acts on whom; the verb's own note completes them."""
    return Note("agent", agent), Note("patient", patient)
