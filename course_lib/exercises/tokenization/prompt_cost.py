"""What `tokenization.prompt_cost` demands."""

from __future__ import annotations

from course_lib import tokenization
from course_lib.checks.exercise import Case, Exercise

prompt_cost = Exercise(
    "tokenization.prompt_cost",
    points=1,
    reference=tokenization.prompt_cost,
    tolerance=1e-12,  # a request may cost a millionth
)


@prompt_cost.cases
def _(draw):
    def case(about, n_input, n_output, input_price, output_price):
        arguments = {"n_input": n_input, "n_output": n_output}
        prices = {"input_price": input_price, "output_price": output_price}
        return Case(about, arguments | prices)

    price = draw.random.randint(1, 19) / 4
    tokens = draw.random.randint(100, 999)
    yield case("a million tokens each way", 1_000_000, 1_000_000, price, 4 * price)
    yield case("a short prompt and a long answer", 12, tokens, price, 5 * price)
    yield case("a long prompt and a short answer", 9 * tokens, 15, price, 3 * price)
    yield case("no answer", tokens, 0, price, 3 * price)
    yield case("no prompt", 0, tokens, price, 3 * price)
    yield case("nothing at all", 0, 0, price, 3 * price)
    yield case("free input", tokens, 2 * tokens, 0.0, price)
    yield case("prices in whole numbers", 1500, tokens, 3, 15)
    yield case("a single token", 1, 0, price, 2 * price)
    yield case("several million tokens", 7_654_321, 2_345_678, price, 2 * price + 1)


@prompt_cost.misconception
def takes_prices_per_thousand(n_input, n_output, input_price, output_price):
    """Your result is a thousand times too high: prices here are for a million tokens. Some lists
    are per thousand, so the unit is worth a look each time."""
    return (n_input * input_price + n_output * output_price) / 1000


@prompt_cost.misconception
def takes_prices_per_token(n_input, n_output, input_price, output_price):
    """Your result is a million times too high: the prices are for a million tokens, not for one."""
    return float(n_input * input_price + n_output * output_price)


@prompt_cost.misconception
def adds_the_prices(n_input, n_output, input_price, output_price):
    """You charge the sum of both prices for every token. A token is either sent or received, and
    pays one of the two."""
    return (n_input + n_output) * (input_price + output_price) / 1e6


@prompt_cost.misconception
def takes_the_mean_price(n_input, n_output, input_price, output_price):
    """You charge the mean of the two prices for every token. That is right only when as many
    tokens come back as were sent; charge each kind at its own price."""
    return (n_input + n_output) * (input_price + output_price) / 2 / 1e6


@prompt_cost.misconception
def swaps_input_and_output(n_input, n_output, input_price, output_price):
    """You charge what is sent at the price of what is received, and the other way round."""
    return (n_input * output_price + n_output * input_price) / 1e6


@prompt_cost.misconception
def charges_the_prompt_only(n_input, n_output, input_price, output_price):
    """The answer is free in your account. Its tokens have a price too, mostly the higher one."""
    return n_input * input_price / 1e6


@prompt_cost.misconception
def divides_only_the_second_part(n_input, n_output, input_price, output_price):
    """Division binds more tightly than addition: only your second summand is divided by a million.
    Put the sum in parentheses."""
    return n_input * input_price + n_output * output_price / 1e6


@prompt_cost.misconception
def charges_whole_millions_only(n_input, n_output, input_price, output_price):
    """`//` keeps whole millions only, so any smaller request is free. Divide with `/`."""
    return float(n_input // 1_000_000 * input_price + n_output // 1_000_000 * output_price)


@prompt_cost.misconception
def rounds_to_cents(n_input, n_output, input_price, output_price):
    """You round to cents, and a request that costs less becomes free; a million of them would too.
    Return the exact amount, and round where you show it."""
    return round((n_input * input_price + n_output * output_price) / 1e6, 2)


@prompt_cost.misconception
def charges_the_answer_only(n_input, n_output, input_price, output_price):
    """What you send is free in your account. It has a price too, mostly the lower one."""
    return n_output * output_price / 1e6


@prompt_cost.misconception
def divides_by_a_million_twice(n_input, n_output, input_price, output_price):
    """Your result is a million times too low: the sum is divided by a million twice."""
    return (n_input * input_price + n_output * output_price) / 1e6 / 1e6


@prompt_cost.alternative
def price_of_a_token_first(n_input, n_output, input_price, output_price):
    """Each price divided by a million, then multiplied."""
    return n_input * (input_price / 1e6) + n_output * (output_price / 1e6)


@prompt_cost.alternative
def as_a_sum_over_both_kinds(n_input, n_output, input_price, output_price):
    """Millions of tokens times their price."""
    kinds = [(n_input, input_price), (n_output, output_price)]
    return sum(n / 10**6 * price for n, price in kinds)
