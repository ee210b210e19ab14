"""What `in_context.build_prompt` demands."""

from __future__ import annotations

from course_lib import in_context
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.exercises.in_context.shared import ARROW, ASKED, WORDS

build_prompt = Exercise("in_context.build_prompt", points=2, reference=in_context.build_prompt)


@build_prompt.cases
def _(draw):
    words = draw.random.sample(WORDS, 14)

    def pairs(n, start=0):
        return [(words[start + 2 * i], words[start + 2 * i + 1]) for i in range(n)]

    def case(about, examples, query, template):
        return Case(about, {"examples": examples, "query": query, "template": template})

    yield case("one example", pairs(1), words[13], ARROW)
    yield case("no example", [], words[13], ARROW)
    yield case("three examples", pairs(3), words[13], ARROW)
    yield case("a template of two lines", pairs(2), words[13], ASKED)
    yield case("something behind the output", pairs(2), words[13], "{input} means {output}.")
    yield case("two blanks before the output", pairs(2), words[13], "in: {input}  out:  {output}")
    yield case("no blank before the output", pairs(2), words[13], "<{input}|{output}>")
    yield case("the query is among the examples", pairs(4), words[2], ARROW)
    twice = [*pairs(3), (words[2], words[5])]
    yield case("the query stands twice among the examples", twice, words[2], ARROW)
    yield case("the query is the output of an example", pairs(3), words[3], ARROW)
    lines = "Word: {input}\nOther: {output}\n"
    yield case("a template that ends with a newline", pairs(3), words[13], lines)
    yield case("the output on a line of its own", pairs(2), words[13], "{input}\n{output}")
    yield case("a template that begins with blanks", pairs(2), words[13], "  - {input}: {output}")
    spaced = [(f" {words[0]} ", f"{words[1]}  "), (words[2], f" {words[3]}\n")]
    yield case("examples with blanks around them", spaced, words[13], ARROW)
    yield case(
        "the query is a part of an input", [("sunrise", "morning"), *pairs(1)], "rise", ARROW
    )
    braces = '{"word": "{input}", "other": "{output}"}'
    yield case("a template with braces of its own", pairs(2), words[13], braces)
    odd = [("{output}", words[0]), (words[1], "{input}"), ("f{x}", words[2])]
    yield case("examples with braces in them", odd, words[13], ARROW)
    arguments = {"examples": pairs(1), "query": words[13]}
    yield refuses("a template without {output}", arguments | {"template": "{input} ->"}, "template")
    if draw.hidden:
        yield case("six examples", pairs(6), words[13], "Word: {input}\nOther: {output} (end)")


def _prompt(examples, query, template, *, join="\n", open_end=None, keep=None):
    """The reference, with places where a mistake can be put."""
    before, after = template.split("{output}")
    keep = keep or (lambda x, y: x != query)
    lines = [before.replace("{input}", x) + y + after for x, y in examples if keep(x, y)]
    question = before.replace("{input}", query)
    return join.join([*lines, open_end(question, after) if open_end else question.rstrip()])


@build_prompt.misconception
def shows_the_answer(examples, query, template):
    """An example with the query's own input stays in the prompt, and so its answer is there to be
    copied. Leave such an example out."""
    return _prompt(examples, query, template, keep=lambda x, y: True)


@build_prompt.misconception
def leaves_a_blank_at_the_end(examples, query, template):
    """Your prompt ends with the blank that stands before the output. Tokens of words begin with
    their blank (" Paris" is one token), so after a blank the model hardly ever finds the word. End
    without one."""
    return _prompt(examples, query, template, open_end=lambda question, after: question)


@build_prompt.misconception
def fills_the_output_with_nothing(examples, query, template):
    """You write the query with an empty output, so what the template has *behind* the output is
    there too. The prompt stops where the output would stand: that is what the model goes on
    with."""
    return _prompt(
        examples, query, template, open_end=lambda question, after: (question + after).rstrip()
    )


@build_prompt.misconception
def puts_an_empty_line_between(examples, query, template):
    """Between the examples there is an empty line. One newline is enough: the template says what an
    example looks like."""
    return _prompt(examples, query, template, join="\n\n")


@build_prompt.misconception
def puts_everything_on_one_line(examples, query, template):
    """Nothing stands between the examples. Each begins on a line of its own: join them with a
    newline."""
    return _prompt(examples, query, template, join="")


@build_prompt.misconception
def ends_with_a_newline(examples, query, template):
    """Your prompt ends with a newline, so the model would begin the next line. It has to go on
    right where the output would stand."""
    return _prompt(examples, query, template) + "\n"


@build_prompt.misconception
def strips_each_example(examples, query, template):
    """You take the blanks off each example. It is written as the template has it: only the open end
    of the whole prompt loses its blanks."""
    before, after = template.split("{output}")
    lines = [(before.replace("{input}", x) + y + after).strip() for x, y in examples if x != query]
    return "\n".join([*lines, before.replace("{input}", query).rstrip()])


@build_prompt.misconception
def takes_blanks_off_the_examples_ends(examples, query, template):
    """You take the blanks off the end of each example. Only the end of the whole prompt loses its
    blanks; an example is written as the template has it."""
    before, after = template.split("{output}")
    lines = [(before.replace("{input}", x) + y + after).rstrip() for x, y in examples if x != query]
    return "\n".join([*lines, before.replace("{input}", query).rstrip()])


@build_prompt.misconception
def takes_blanks_off_in_front_as_well(examples, query, template):
    """You take blanks off in front of the query, too. Those belong to the template: only the open
    end loses its blanks, with `rstrip`."""
    return _prompt(examples, query, template, open_end=lambda question, after: question.strip())


@build_prompt.misconception
def leaves_a_newline_at_the_end(examples, query, template):
    """`rstrip(" ")` takes spaces off and leaves a newline, where the template has the output on a
    line of its own. `rstrip()` takes off both."""
    return _prompt(examples, query, template, open_end=lambda question, after: question.rstrip(" "))


@build_prompt.misconception
def leaves_out_only_the_first(examples, query, template):
    """You leave out the first example whose input is the query. There may be another, and it gives
    the answer away just as well."""
    first = next((n for n, (x, _) in enumerate(examples) if x == query), None)
    rest = [example for n, example in enumerate(examples) if n != first]
    return _prompt(rest, query, template, keep=lambda x, y: True)


@build_prompt.misconception
def formats_the_template(examples, query, template):
    """`str.format` takes every pair of braces in the template for a field, and stops with an error
    at those that are neither `{input}` nor `{output}`. `replace` or `split` touch only what you
    name."""
    start = template[: template.index("{output}")]
    lines = [template.format(input=x, output=y) for x, y in examples if x != query]
    return "\n".join([*lines, start.format(input=query).rstrip()])


@build_prompt.misconception
def replaces_in_what_was_filled_in(examples, query, template):
    """You fill in the input, and then look for `{output}` in the whole line. If the input itself
    holds that text, it is replaced as well. Cut the template in two first, or fill both in at
    once."""
    lines = [
        template.replace("{input}", x).replace("{output}", y) for x, y in examples if x != query
    ]
    start = template.split("{output}")[0]
    return "\n".join([*lines, start.replace("{input}", query).rstrip()])


@build_prompt.misconception
def leaves_out_what_holds_the_query(examples, query, template):
    """You leave out every example in whose text the query occurs. Only an example whose input *is*
    the query gives its answer away: compare with `==` or `!=`, not with `in`."""
    return _prompt(examples, query, template, keep=lambda x, y: query not in x + " " + y)


@build_prompt.misconception
def puts_the_query_first(examples, query, template):
    """The query stands before the examples. The model goes on at the end, so the open question has
    to be last."""
    *lines, question = _prompt(examples, query, template, join="\0").split("\0")
    return "\n".join([question, *lines])


@build_prompt.alternative
def in_a_loop(examples, query, template):
    """Text is added piece by piece."""
    if "{input}" not in template or "{output}" not in template:
        raise ValueError("template must have both fields")
    head, rest = template.split("{input}")
    middle, tail = rest.split("{output}")
    text = ""
    for given, wanted in examples:
        if given == query:
            continue
        text += head + given + middle + wanted + tail + "\n"
    return (text + head + query + middle).rstrip()


@build_prompt.alternative
def by_a_regular_expression(examples, query, template):
    """Both fields are filled in at once."""
    import re

    if not {"{input}", "{output}"} <= set(re.findall(r"\{\w+\}", template)):
        raise ValueError("template must have both fields")

    def fill(text, **fields):
        return re.sub(r"\{(input|output)\}", lambda match: fields[match[1]], text)

    lines = [fill(template, input=x, output=y) for x, y in examples if x != query]
    question = fill(template.partition("{output}")[0], input=query)
    return "\n".join(lines + [question.rstrip()])
