"""Messages to a small shop: which team should read each, and which product it is about (notebook
13).

Written for this course. A hundred of them, twenty a team; no two are about the same product.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["TEAMS", "Message", "known_and_held_out", "shop_messages"]


class Message(NamedTuple):
    """A message, the team that should read it, and the product as it is named in the text."""

    text: str
    team: str
    product: str


# One line a message; the product stands between stars.
_MESSAGES = {
    "delivery": """
        My *kettle* should have been here on Monday. Where is it?
        Can you leave the *lamp* with my neighbour if I am out?
        The tracking page has not moved for a week, and the *bookshelf* is for a birthday.
        I have moved house. Please send the *toaster* to my new address.
        Do you also ship a *mattress* to the islands?
        The driver says he rang, but nobody did, and the *carpet* is gone.
        How long does it take until a *mirror* reaches Austria?
        Half of my order came. The *saucepan* is still missing.
        Could the *wardrobe* come after six in the evening?
        Someone else signed for my *radio*. Who has it?
        Is there any news about the *bicycle* I am waiting for?
        The parcel with the *clock* is stuck at the depot.
        I am away next week, please hold the *blanket* until I am back.
        Your message says handed over, yet there is no *fan* at my door.
        Which day will you bring the *freezer*?
        You sent the *teapot* to my old flat.
        May I pick up the *ladder* from your store myself?
        It has been ten days and the *drill* has not arrived.
        The van left without unloading my *desk*.
        Please tell the courier to bring the *vase* to the back entrance.
    """,
    "returns": """
        I changed my mind about the *curtain* and want my money back.
        The *jacket* is too small. How do I send it back?
        This is not the colour I ordered. Please take the *sofa* back.
        How many days do I have to give back the *camera*?
        The *pillow* is not for me after all. I would like a refund.
        Can I swap the *boots* for a larger size?
        Who pays the postage if I return the *heater*?
        Please cancel the *grill*, I do not need it any more.
        I posted the *blender* to you two weeks ago and my money has not come back.
        The *rug* looks different from the photo. I do not want to keep it.
        It was a present and she already has a *tent*. Can I bring it back?
        I opened the box of the *printer*. May I still return it?
        The *stool* wobbles, and I would rather have my money than a new one.
        Is there a return label for the *suitcase*?
        I ordered the wrong *shelf* and would like to exchange it.
        You promised to refund the *bucket*. When?
        My husband does not like the *painting*. How can we give it back?
        The *gloves* do not fit. What now?
        I want to return the *keyboard*, it is unused.
        I have one *scale* too many and do not want it. Where do I send it?
    """,
    "repair": """
        The *vacuum* makes a loud noise and then stops.
        My *oven* no longer gets hot.
        A leg of the *chair* broke off. Can it be mended?
        Where do I get a new battery for the *torch*?
        The screen of the *television* stays black.
        Water drips out of the *dishwasher*.
        How do I change the needle of the *turntable*?
        The handle of the *umbrella* came off after a day.
        The *dryer* shows error four and will not start.
        My *watch* has stopped although the battery is new.
        The zip of the *backpack* is torn. Can you fix it?
        Since yesterday the *fridge* hums and does not cool.
        The lock of the *safe* is jammed.
        One wheel of the *pram* squeaks.
        How much would it cost to mend the *guitar*?
        The plug of the *iron* sparks when I use it.
        The hinge of the *cupboard* is bent. What can I do?
        My *mower* starts and then dies at once.
        Can someone look at my *coffeemaker*? It leaks.
        The strap of the *helmet* is worn out. Do you replace it?
    """,
    "billing": """
        You charged my card twice for the *scarf*.
        I need an invoice for the *projector* with the name of my company.
        Why does the bill for the *bench* show a fee?
        The voucher was not taken off the price of the *puzzle*.
        Can I pay for the *piano* in three parts?
        Please change the tax number on the receipt for the *monitor*.
        I paid for the *basket* by bank transfer last week. Did it get through?
        A reminder came for the *cushion*, but I paid long ago.
        The amount on the invoice for the *stove* is wrong.
        My card was refused when I bought the *necklace*.
        Do you accept cash for the *aquarium*?
        Where can I download the receipt for the *microscope*?
        The discount for the *towels* is missing on my bill.
        What is the charge of nine euros beside the *globe*?
        Please send the bill for the *trampoline* to my office.
        I was billed for a *kennel* that I never bought.
        Is sales tax included in the price of the *canoe*?
        Could I get a copy of the invoice for the *generator*?
        The total for the *plates* does not add up.
        My bank says the payment for the *hammock* failed.
    """,
    "advice": """
        Which *hammer* is best for a beginner?
        Is the *juicer* loud?
        Will the *raincoat* keep me dry in heavy rain?
        How many people does the *dinghy* carry?
        Does the *telescope* come with a stand?
        I cannot decide between the two *razors*. What would you take?
        Is the *highchair* suitable for a baby of six months?
        How much does the *anvil* weigh?
        What is the difference between this *saw* and the cheaper one?
        Can the *pot* be used on an induction cooker?
        Is the *doormat* made of natural fibres?
        Do you have the *bowl* in green?
        Would the *sandals* be good for long walks?
        What size of *leash* do I need for a large dog?
        When will the *sledge* be in stock again?
        Does the *speaker* work with any phone?
        Is there a smaller model of the *loom*?
        I am looking for a *thermos* that keeps tea hot all day.
        How bright is the *lantern*?
        Are the *skates* meant for ice or for the street?
    """,
}

TEAMS = tuple(_MESSAGES)


def shop_messages() -> list[Message]:
    """All messages; the teams take turns, so that every stretch of the list has some of each."""
    columns = [
        [_message(line.strip(), team) for line in lines.strip().splitlines()]
        for team, lines in _MESSAGES.items()
    ]
    return [message for row in zip(*columns, strict=True) for message in row]


def _message(line: str, team: str) -> Message:
    before, product, after = line.split("*")
    return Message(before + product + after, team, product)


def known_and_held_out(n_known: int) -> tuple[list[Message], list[Message]]:
    """The first `n_known` messages of each team, to learn from; all others, to be tested with.

    Raises:
        ValueError: nothing would be left on one of the sides.
    """
    most = len(shop_messages()) // len(TEAMS) - 1
    if not 1 <= n_known <= most:
        raise ValueError(f"n_known must lie in 1 ... {most}, got {n_known}")
    messages = shop_messages()
    return messages[: n_known * len(TEAMS)], messages[n_known * len(TEAMS) :]
