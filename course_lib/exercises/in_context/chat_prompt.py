"""What `in_context.chat_prompt` demands."""

from __future__ import annotations

from course_lib import in_context
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.in_context.shared import WORDS

chat_prompt = Exercise("in_context.chat_prompt", points=1, reference=in_context.chat_prompt)


@chat_prompt.cases
def _(draw):
    words = draw.random.sample(WORDS, 8)

    def case(about, *turns):
        messages = [{"role": role, "content": content} for role, content in turns]
        return Case(about, {"messages": messages})

    yield case("one question", ("user", f"What is a {words[0]}?"))
    yield case("a system message first", ("system", f"You are a {words[1]}."), ("user", words[2]))
    yield case(
        "an answer in between",
        ("user", words[3]), ("assistant", f"A {words[4]}."), ("user", f"And a {words[5]}?"),
    )  # fmt: skip
    yield case("a content of two lines", ("user", f"{words[6]}\n{words[7]}"))
    yield case("blanks around a content", ("user", f"  {words[0]} \n"))
    yield case("an empty system message", ("system", ""), ("user", words[1]))
    yield case("the assistant spoke last", ("user", words[3]), ("assistant", words[4]))
    yield case("braces in a content", ("user", "{role} {content} {0} {}"))
    if draw.hidden:
        turns = [("user" if i % 2 == 0 else "assistant", word) for i, word in enumerate(words[:7])]
        yield case("a long conversation", *turns)


def _turns(messages, form="<|im_start|>{role}\n{content}<|im_end|>\n"):
    return "".join(form.format(**message) for message in messages)


START = "<|im_start|>assistant\n"


@chat_prompt.misconception
def adds_a_system_message(messages):
    """You put a system message in front where there is none. Many chat programs do, SmolLM2's own
    template among them; here the conversation is what was handed in, and nothing more."""
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": "You are a helpful assistant."}, *messages]
    return _turns(messages) + START


@chat_prompt.misconception
def does_not_open_the_answer(messages):
    """Your text stops behind the last message, so the model would have to guess who speaks next,
    and may well go on as the user. Open the assistant's turn."""
    return _turns(messages)


@chat_prompt.misconception
def opens_only_after_the_user(messages):
    """You open the assistant's turn only where the user spoke last. It is opened always, also for
    an assistant that has just spoken."""
    return _turns(messages) + (START if messages[-1]["role"] != "assistant" else "")


@chat_prompt.misconception
def fills_in_what_was_filled_in(messages):
    """You fill in one field and then look for the other in the whole text. A content may hold
    `{role}` itself: put the pieces together, or fill both in at once."""
    form = "<|im_start|>{role}\n{content}<|im_end|>\n"
    return START.join(
        ["".join(
            form.replace("{content}", message["content"]).replace("{role}", message["role"])
            for message in messages
        ), ""]
    )  # fmt: skip


@chat_prompt.misconception
def closes_the_answer(messages):
    """You open the assistant's turn and close it at once: an empty answer, already over. Stop where
    the answer begins."""
    return _turns(messages) + START + "<|im_end|>\n"


@chat_prompt.misconception
def forgets_the_newline_between_messages(messages):
    """After `<|im_end|>` a newline is missing. The model has seen one there in all its
    training."""
    return _turns(messages, "<|im_start|>{role}\n{content}<|im_end|>") + START


@chat_prompt.misconception
def forgets_the_last_newline(messages):
    """The newline after the last "assistant" is missing. The model would have to write it first;
    its answer begins behind it."""
    return _turns(messages) + START.rstrip()


@chat_prompt.misconception
def puts_the_role_on_the_line_of_the_content(messages):
    """Role and content stand on one line. In ChatML the role has the line of `<|im_start|>`, and
    the content begins on the next."""
    return _turns(messages, "<|im_start|>{role}: {content}<|im_end|>\n") + START


@chat_prompt.misconception
def starts_a_line_before_the_end_marker(messages):
    """You put a newline between content and `<|im_end|>`. It follows the content directly; the
    newline comes behind it."""
    return _turns(messages, "<|im_start|>{role}\n{content}\n<|im_end|>\n") + START


@chat_prompt.misconception
def strips_the_contents(messages):
    """You take blanks off the contents. What somebody wrote is handed on as it is."""
    form = "<|im_start|>{role}\n{content}<|im_end|>\n"
    stripped = [message | {"content": message["content"].strip()} for message in messages]
    return _turns(stripped, form) + START


@chat_prompt.alternative
def line_by_line(messages):
    """Pieces are collected and joined at the end."""
    pieces = []
    for message in messages:
        pieces += ["<|im_start|>", message["role"], "\n", message["content"], "<|im_end|>", "\n"]
    pieces += ["<|im_start|>", "assistant", "\n"]
    return "".join(pieces)


@chat_prompt.alternative
def as_an_unfinished_message(messages):
    """The answer is a message whose rest is cut away."""
    answer = {"role": "assistant", "content": "\0"}
    return _turns([*messages, answer]).partition("\0")[0]
