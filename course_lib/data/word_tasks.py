"""Small tasks on words, for learning from examples (notebook 09): pairs of an input and an output.

`REVIEWS` has the outputs of `SENTIMENTS`, as many of each; the other tasks are open.
"""

from __future__ import annotations

__all__ = ["CAPITALS", "OPPOSITES", "PAST_TENSES", "PLURALS", "REVIEWS", "SENTIMENTS", "Items"]

Items = tuple[tuple[str, str], ...]


def _pairs(text: str) -> Items:
    """`"one: two, three: four"` -> (("one", "two"), ("three", "four"))."""
    pairs = (pair.split(":") for pair in text.split(","))
    return tuple((given.strip(), wanted.strip()) for given, wanted in pairs)


CAPITALS: Items = _pairs("""
    France: Paris, Italy: Rome, Spain: Madrid, Germany: Berlin, Portugal: Lisbon, Greece: Athens,
    Poland: Warsaw, Austria: Vienna, Hungary: Budapest, Russia: Moscow, Sweden: Stockholm,
    Norway: Oslo, Finland: Helsinki, Denmark: Copenhagen, Ireland: Dublin, Belgium: Brussels,
    Switzerland: Bern, Ukraine: Kyiv, Romania: Bucharest, Bulgaria: Sofia, Serbia: Belgrade,
    Turkey: Ankara, Egypt: Cairo, Kenya: Nairobi, Morocco: Rabat, Ghana: Accra, Iran: Tehran,
    Iraq: Baghdad, Syria: Damascus, Jordan: Amman, Japan: Tokyo, China: Beijing, India: New Delhi,
    Thailand: Bangkok, Vietnam: Hanoi, Indonesia: Jakarta, Pakistan: Islamabad, Afghanistan: Kabul,
    Cuba: Havana, Jamaica: Kingston, Canada: Ottawa, Peru: Lima, Chile: Santiago,
    Argentina: Buenos Aires, Colombia: Bogota, Ecuador: Quito, Uruguay: Montevideo,
    Australia: Canberra, England: London, Scotland: Edinburgh, Wales: Cardiff, Philippines: Manila,
    Tunisia: Tunis
""")

PLURALS: Items = _pairs("""
    cat: cats, dog: dogs, tree: trees, car: cars, book: books, house: houses, box: boxes,
    bus: buses, dish: dishes, church: churches, glass: glasses, fox: foxes, city: cities,
    baby: babies, lady: ladies, story: stories, party: parties, country: countries, day: days,
    key: keys, boy: boys, leaf: leaves, wolf: wolves, knife: knives, life: lives, wife: wives,
    shelf: shelves, half: halves, roof: roofs, child: children, man: men, woman: women, foot: feet,
    tooth: teeth, mouse: mice, goose: geese, potato: potatoes, tomato: tomatoes, hero: heroes,
    photo: photos, apple: apples, bridge: bridges, cloud: clouds, river: rivers, king: kings,
    match: matches, wish: wishes, class: classes, berry: berries, army: armies, toy: toys,
    window: windows, teacher: teachers, song: songs, flower: flowers
""")

OPPOSITES: Items = _pairs("""
    hot: cold, big: small, tall: short, up: down, left: right, good: bad, happy: sad, fast: slow,
    old: young, new: old, rich: poor, light: dark, day: night, open: closed, full: empty,
    hard: soft, strong: weak, early: late, high: low, true: false, wet: dry, clean: dirty,
    win: lose, buy: sell, push: pull, begin: end, love: hate, war: peace, life: death, in: out,
    on: off, near: far, thick: thin, wide: narrow, deep: shallow, heavy: light, loud: quiet,
    rough: smooth, safe: dangerous, easy: difficult, first: last, before: after, above: below,
    inside: outside, always: never, accept: reject, success: failure, north: south, east: west,
    black: white, male: female, top: bottom, front: back, hero: villain, friend: enemy,
    increase: decrease
""")

PAST_TENSES: Items = _pairs("""
    walk: walked, play: played, look: looked, ask: asked, jump: jumped, help: helped, live: lived,
    love: loved, move: moved, close: closed, stop: stopped, plan: planned, carry: carried,
    study: studied, try: tried, go: went, see: saw, come: came, take: took, give: gave, make: made,
    know: knew, think: thought, buy: bought, bring: brought, teach: taught, catch: caught,
    find: found, tell: told, sell: sold, say: said, run: ran, sing: sang, swim: swam, drink: drank,
    begin: began, write: wrote, drive: drove, ride: rode, speak: spoke, break: broke,
    choose: chose, fly: flew, grow: grew, throw: threw, draw: drew, eat: ate, fall: fell,
    feel: felt, keep: kept, sleep: slept, leave: left, lose: lost, send: sent, build: built,
    win: won
""")

SENTIMENTS = ("positive", "negative")

_PRAISE = """
    a wonderful film; I loved every minute; warm and funny; a brilliant cast; truly moving;
    the best book this year; a joy to watch; beautifully written; I could not stop smiling;
    a clever and gripping story; superb acting; charming from start to finish; a delight;
    it made my day; fresh and original; the music is gorgeous; highly recommended; a masterpiece;
    I would see it again; full of heart; an exciting ride; perfect for the whole family;
    great fun; a touching ending; sharp and witty; the food was delicious; very kind staff;
    works like a charm; worth every penny; I am so happy with it
"""
_BLAME = """
    a terrible film; I hated every minute; cold and boring; a dreadful cast; truly awful;
    the worst book this year; a pain to watch; badly written; I could not stop yawning;
    a stupid and tiresome story; wooden acting; dull from start to finish; a disaster;
    it ruined my day; stale and predictable; the music is annoying; not recommended; a failure;
    I want my money back; full of mistakes; a tedious ride; a bore for the whole family;
    no fun at all; a silly ending; slow and pointless; the food was disgusting; very rude staff;
    it broke at once; a waste of money; I am so angry about it
"""


def _reviews(text: str, sentiment: str) -> list[tuple[str, str]]:
    return [(" ".join(review.split()), sentiment) for review in text.split(";")]


_both = zip(_reviews(_PRAISE, "positive"), _reviews(_BLAME, "negative"), strict=True)
REVIEWS: Items = tuple(review for pair in _both for review in pair)
