"""What `tokenization.merge_pair` demands."""

from __future__ import annotations

from course_lib import tokenization
from course_lib.checks.exercise import Case, Exercise

merge_pair = Exercise("tokenization.merge_pair", points=2, reference=tokenization.merge_pair)


@merge_pair.cases
def _(draw):
    def case(about, ids, pair, new_id=99):
        return Case(about, {"ids": ids, "pair": pair, "new_id": new_id})

    a, b, c = (1 + draw.permutation(8)[:3]).tolist()
    yield case("nothing but the pair", [a, b], (a, b))
    yield case("the pair in the middle", [c, a, b, c], (a, b))
    yield case("the pair at the beginning", [a, b, c], (a, b))
    yield case("the pair at the end", [c, a, b], (a, b))
    yield case("the pair twice", [a, b, c, a, b, c], (a, b))
    yield case("twice in a row", [a, b, a, b], (a, b))
    yield case("the pair is not there", [c, b, a], (a, b))
    yield case("the left id at the end, alone", [a, b, a], (a, b))
    yield case("the right id alone, and at the beginning", [b, c, a, b, b], (a, b))
    yield case("three equal ids", [a, a, a], (a, a))
    yield case("four equal ids", [a, a, a, a], (a, a))
    yield case("runs of equal ids between others", [b, a, a, a, b, a, a, c, a], (a, a))
    yield case("ids as a tuple", (c, a, b, a), (a, b))
    yield case("a tuple without the pair", (b, c, a), (a, b))
    yield case("ids above 255", [300 + a, 300 + b, a, 70_000 + c], (300 + a, 300 + b), 300)
    yield case("no ids", [], (a, b))
    yield case("a single id", [a], (a, b))
    yield case("the id 0", [0, 0, a, 0], (0, 0))
    yield case("the new id is there already", [99, a, b, 99], (a, b))
    digits = draw.random.randint(2, 9)
    yield case("ids of several digits", [10 * digits + a, b, a, 10 * b + digits, a, b], (a, b), 500)
    ids = draw.ids(3, 200 if draw.hidden else 30).tolist()
    yield case("many ids", ids, (1, 2))
    yield case("many ids, and a pair of equals", ids, (2, 2))


@merge_pair.misconception
def keeps_the_right_id(ids, pair, new_id):
    """The new id stands for both ids of the pair. Yours replaces the left one and keeps the right
    one behind it; after a merge, go on two places further."""
    merged = []
    for position, id in enumerate(ids):
        if tuple(ids[position : position + 2]) == tuple(pair):
            merged.append(new_id)
        else:
            merged.append(id)
    return merged


@merge_pair.misconception
def merges_overlapping_pairs(ids, pair, new_id):
    """[7, 7, 7] holds two pairs (7, 7) that share the middle id, and you merge both. An id can be
    used up only once: after a merge, go on with the first id that was no part of it."""
    merged = []
    for position, id in enumerate(ids):
        if tuple(ids[position : position + 2]) == tuple(pair):
            merged.append(new_id)
        elif position == 0 or (ids[position - 1], id) != tuple(pair):
            merged.append(id)
    return merged


@merge_pair.misconception
def changes_the_list_it_was_given(ids, pair, new_id):
    """You merge inside the list `ids` itself, so whoever called you no longer has the original,
    and a tuple cannot be changed at all. Build a new list."""
    position = 0
    while position < len(ids) - 1:
        if (ids[position], ids[position + 1]) == tuple(pair):
            ids[position : position + 2] = [new_id]
        position += 1
    return ids


@merge_pair.misconception
def deletes_while_it_walks(ids, pair, new_id):
    """The positions of your loop are fixed before it starts, but each merge makes the list one
    shorter, so the loop runs past the end. Build a new list, or use `while` and ask for the
    length each time."""
    ids = list(ids)
    for position in range(len(ids) - 1):
        if ids[position] == pair[0] and ids[position + 1] == pair[1]:
            ids[position] = new_id
            del ids[position + 1]
    return ids


@merge_pair.misconception
def hands_back_what_it_was_given(ids, pair, new_id):
    """Where the pair is not there, `ids` itself comes back: a tuple stays a tuple. Return a new
    list in any case."""
    if not any((one, other) == tuple(pair) for one, other in zip(ids, ids[1:], strict=False)):
        return ids
    return tokenization.merge_pair(ids, pair, new_id)


@merge_pair.misconception
def loses_the_last_id(ids, pair, new_id):
    """Your loop ends one short of the end, since the last id has no right neighbour. When the last
    id was not merged it still belongs to the result, and yours drops it."""
    merged = []
    position = 0
    while position < len(ids) - 1:
        if (ids[position], ids[position + 1]) == tuple(pair):
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged


@merge_pair.misconception
def looks_past_the_end(ids, pair, new_id):
    """When the last id equals the left half of the pair you look at the id behind it, and there is
    none. Ask first whether there is a next id."""
    merged = []
    position = 0
    while position < len(ids):
        if ids[position] == pair[0] and ids[position + 1] == pair[1]:
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged


@merge_pair.misconception
def merges_the_first_occurrence_only(ids, pair, new_id):
    """You stop after the first merge. Every occurrence of the pair is to be replaced."""
    for position in range(len(ids) - 1):
        if (ids[position], ids[position + 1]) == tuple(pair):
            return [*ids[:position], new_id, *ids[position + 2 :]]
    return list(ids)


@merge_pair.misconception
def merges_from_right_to_left(ids, pair, new_id):
    """You start at the right end, and [7, 7, 7] becomes [7, 9]. Left to right it is [9, 7]. Both
    would do, but training and encoding must do the same, and left to right is the convention."""
    backwards = tokenization.merge_pair(list(ids)[::-1], tuple(pair)[::-1], new_id)
    return backwards[::-1]


@merge_pair.misconception
def merges_the_mirror_image_too(ids, pair, new_id):
    """You merge (b, a) as well as (a, b). Order matters: the new id stands for the left id
    followed by the right one, and nothing else."""
    merged = []
    position = 0
    while position < len(ids):
        if sorted(ids[position : position + 2]) == sorted(pair):
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged


@merge_pair.misconception
def replaces_each_id_of_the_pair(ids, pair, new_id):
    """You replace every id that is in the pair, wherever it stands. Only the two together, the
    left one directly before the right one, become the new id, and both become one."""
    return [new_id if id in pair else id for id in ids]


@merge_pair.misconception
def compares_a_list_with_a_tuple(ids, pair, new_id):
    """Nothing is merged in a list: a slice of a list is a list, and in Python [1, 2] == (1, 2) is
    False. Compare the two ids one by one, or make a tuple of them."""
    merged = []
    position = 0
    while position < len(ids):
        if ids[position : position + 2] == pair:
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged


@merge_pair.misconception
def mixes_up_ids_and_digits(ids, pair, new_id):
    """You write the ids as text and replace there. In the text "21 2" there is a "1 2", though the
    ids are 21 and 2. Compare the ids themselves."""
    text = " ".join(map(str, ids)).replace(f"{pair[0]} {pair[1]}", str(new_id))
    return [int(id) for id in text.split()]


@merge_pair.alternative
def by_looking_back(ids, pair, new_id):
    """Each id asks whether the one before it is still waiting for it."""
    merged = []
    left_waits = False
    for id in ids:
        if left_waits and id == pair[1]:
            merged[-1] = new_id
            left_waits = False
        else:
            merged.append(id)
            left_waits = id == pair[0]
    return merged


@merge_pair.alternative
def on_a_copy(ids, pair, new_id):
    """In place, but on a copy."""
    ids = list(ids)
    position = 0
    while position < len(ids) - 1:
        if (ids[position], ids[position + 1]) == pair:
            ids[position : position + 2] = [new_id]
        position += 1
    return ids


@merge_pair.alternative
def the_rest_by_recursion(ids, pair, new_id):
    """Merge what stands first, then the rest. A stack of work instead of deep recursion."""
    merged, rest = [], list(ids)[::-1]
    while rest:
        first = rest.pop()
        if rest and (first, rest[-1]) == pair:
            rest.pop()
            first = new_id
        merged.append(first)
    return merged
