# %% [markdown]
# # Adapting
#
# **How does a model that writes on become one that does what is wanted?**
#
# A language model that has read the world goes on with whatever you give it. Ask it a question, and it may answer with another question, because that is how lists of questions go on. What people use is something else: a model that answers, in the form that is asked for, in the way that they prefer, from the documents that they have, on the machine that they own. None of this needs a new model. Each is an *adaptation* of one that is there, and each has a price that you can measure.
#
# > **You will build** the example that teaches an answer, LoRA inside a decoder, the losses that learn from preferences (with a reward model, without one, and by trial), a leash that keeps a model from running after its reward, a choice of passages to read from, and weights of a few bits.
# >
# > **You need** notebook 06 (a decoder and its loss), LoRA from 05, chat prompts and examples from 09.
# >
# > **It takes** about 130 minutes to work through, and under 180 seconds to run (more than the other notebooks: a real model is trained).

# %%
import math
from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int8
from torch import Tensor, nn

from course_lib.arguments import check_arguments
from course_lib.checks import check
from course_lib.data.shop_messages import shop_messages
from course_lib.data.storyland import Storyland
from course_lib.experiments import adapting as shop
from course_lib.experiments import preferences, search
from course_lib.finetuning import LoRALinear, trainable_parameters
from course_lib.in_context import exact_matches, share_beginning, wilson_interval
from course_lib.plots import adapting as plots
from course_lib.pretrained import load_minilm, load_smollm2
from course_lib.shapes import check_shapes

# %% [markdown]
# ## 1. From writing on to answering
#
# **An instruction model is a language model that has read many conversations and was asked to predict the answers only.** The conversation is one text. Markers say who speaks (notebook 09): `<|im_start|>user`, the question, `<|im_end|>`, then `<|im_start|>assistant`, and here the answer begins. Fine-tuning on such texts, with the loss on the answers, is called *instruction tuning* or *supervised fine-tuning* (Ouyang et al. 2022, section 3).
#
# SmolLM2-Instruct has been through it. The same question, once bare, so that it is a text to be continued, and once between the markers:

# %% tags=["experiment", "nbval-ignore-output"]
decoder, tokenizer = load_smollm2()
question = "What is the capital of France?"
for name, prompt in {
    "a text to go on with": question,
    "a question to answer": shop.chat_prompt([{"role": "user", "content": question}]),
}.items():
    print(f"{name}: {shop.answers(decoder, tokenizer, [prompt], 12)[0]!r}")

# %% [markdown]
# The bare question is a text like others, which may go on in any way, or end there (then nothing stands between the quotes). Between the markers it is a question to somebody, and is answered. The markers are nothing but tokens. What they mean, the model has learned from examples, each of which was made as follows. By hand, with a prompt of three tokens and an answer of two:
#
# | | prompt | | | answer | |
# |---|---|---|---|---|---|
# | ids | 11 | 12 | 13 | 21 | 22 |
# | labels | -100 | -100 | -100 | 21 | 22 |
#
# The model reads all five. Only the last two are learned. Nobody wants a model that is good at writing customers' questions, and the prompt is often much longer than the answer, so it would have most of the say. And the last id of the answer is its end marker, `<|im_end|>`: a model that never learns it never stops.

# %% [markdown]
# ### Exercise: instruction_example (1 point)
#
# One text to learn an answer from.
#
# - `prompt_ids` and `answer_ids` are sequences of ints: lists or tuples. The prompt may be empty.
# - Return two lists, `(ids, labels)`, of the same length. `ids`: prompt, then answer. `labels`: -100 at each place of the prompt, the ids of the answer at its places.
# - Nothing is shifted: the loss does that (notebook 06).
# - An empty answer is an error (that line is given).
#
# ```python
# instruction_example([11, 12, 13], [21, 22])
# # ([11, 12, 13, 21, 22], [-100, -100, -100, 21, 22])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Labels are a copy of the ids in which some places do not count.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Make the ids first. Then as many -100 as the prompt has tokens, followed by the answer.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `ids = [*prompt_ids, *answer_ids]`; `labels = [-100] * len(...) + [*answer_ids]`. Return both.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "adapting-instruction_example", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_arguments
def instruction_example(
    prompt_ids: Sequence[int], answer_ids: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Ids of prompt and answer, and labels that count at the answer alone.

    >>> instruction_example([7], [8, 9])
    ([7, 8, 9], [-100, 8, 9])
    """
    if not len(answer_ids):
        raise ValueError("answer_ids must hold at least one id, got none")

    ### BEGIN SOLUTION
    ids = [*prompt_ids, *answer_ids]
    labels = [-100] * len(prompt_ids) + [*answer_ids]
    return ids, labels
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-adapting-instruction_example", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("adapting.instruction_example", instruction_example)
### BEGIN HIDDEN TESTS
check("adapting.instruction_example", instruction_example, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ## 2. A little training, in the right place
#
# **To teach a model one task, a small part of it has to move.** LoRA (notebook 05) puts a thin detour beside a frozen layer: two small matrices, of which the second starts at zero, so that the model is at first what it was. In notebook 05 it went into an encoder. A decoder is no different: its blocks hold linear layers with names, and each of those that you choose is replaced by a `LoRALinear` that has the old one inside.
#
# How much is left to train? A layer from 576 to 576 channels has 331,776 weights. With rank 8:

# %%
layer = LoRALinear(nn.Linear(576, 576, bias=False), rank=8, alpha=16.0)
print(f"{trainable_parameters(layer):,} of {576 * 576:,}: {trainable_parameters(layer) / 576**2:.1%}")

# %% [markdown]
# ### Exercise: add_lora (3 points)
#
# Put LoRA into a model, and freeze everything else.
#
# - `model` is any `nn.Module` and is changed in place. Return it.
# - Every `nn.Linear` inside it whose own name (`q_proj`, the last part of `blocks.0.attention.q_proj`) is among `names` is replaced by `LoRALinear(layer, rank, alpha, generator)`, in all blocks.
# - Afterwards only the `A` and `B` of these layers train.
# - `generator` is one for all: each layer draws its own `A` from it.
# - A name that fits no linear layer is a `ValueError` that mentions `names`, and the model is left as it was.
#
# ```python
# model = DecoderLM(DecoderConfig(20, max_length=16, width=8, n_layers=2, n_heads=2, ffn_width=32))
# add_lora(model, rank=2, alpha=4.0, names=("q_proj",))
# trainable_parameters(model)  # 2 blocks * (2 * 8 + 8 * 2) = 64
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# A module knows its parts by name: `named_children()` of each of `model.modules()`. To replace a part, set the attribute of its *parent*.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# First make a list of (parent, name, layer) of all that fit, without changing anything. Compare the names found with those asked for. Then freeze the model, and only then put the new layers in.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `for parent in model.modules(): for name, layer in parent.named_children(): if name in names and isinstance(layer, nn.Linear)`. Then `model.requires_grad_(False)` and `setattr(parent, name, LoRALinear(...))`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "adapting-add_lora", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_arguments
def add_lora(
    model: nn.Module,
    rank: int,
    alpha: float,
    *,
    names: Collection[str] = ("q_proj", "v_proj"),
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Freeze a model and put LoRA around its linear layers with these names, in place.

    >>> trainable_parameters(add_lora(nn.Sequential(nn.Linear(8, 8)), 2, 4.0, names=["0"]))
    32
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")

    ### BEGIN SOLUTION
    found = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if name in names and isinstance(layer, nn.Linear)
    ]
    unknown = set(names) - {name for _, name, _ in found}
    if unknown or not found:
        raise ValueError(f"names must be of linear layers in the model, got {tuple(names)}")
    model.requires_grad_(False)
    for parent, name, layer in found:
        setattr(parent, name, LoRALinear(layer, rank, alpha, generator))
    return model
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-adapting-add_lora", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("adapting.add_lora", add_lora)
### BEGIN HIDDEN TESTS
check("adapting.add_lora", add_lora, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### A shop that wants JSON
#
# A shop gets messages. Each should become one line that a program can read: which of five teams it is for, and which product it is about. The messages are those of the project (notebook 13); fifty of them are known, and the rest we keep for the test.

# %%
messages = shop_messages()
known, unseen = messages[:50], messages[50:70]
for message in unseen[:3]:
    print(message.text)
    print("   ", shop.as_json(message))

# %% [markdown]
# An answer counts if it is right to the last character, end marker included: *exact match*. Three ways to ask. With an instruction alone (*zero-shot*). With the instruction and five solved messages (*few-shot*). And after fine-tuning, with the message and nothing else: instruction and examples have moved into the weights.
#
# SmolLM2 has thirty blocks. We adapt the upper eight. Since the lower ones do not change, what they make of the fifty texts is computed once and kept, and a training step goes through about a quarter of the model. That is what makes it possible here.

# %% tags=["experiment", "nbval-ignore-output"]
wanted = [shop.as_json(message) + shop.END for message in unseen]
quick = share_beginning(decoder)  # the instruction and the examples are read once
zero = [shop.shop_prompt(message, (), shop.INSTRUCTION) for message in unseen]
few = [shop.shop_prompt(message, known[:5], shop.INSTRUCTION) for message in unseen]
right = {
    "an instruction": exact_matches(quick, tokenizer, zero, wanted),
    "and five examples": exact_matches(quick, tokenizer, few, wanted),
}
other_text = [" ".join(line.split()) for line in shop.OTHER_TEXT]
before = shop.text_loss(decoder, tokenizer, other_text, 64)

# %% tags=["experiment", "nbval-ignore-output"]
history = shop.teach(
    decoder, tokenizer, known, n_upper=8, rank=8, steps=20, generator=torch.Generator().manual_seed(0)
)
n_trained, n_all = trainable_parameters(decoder), sum(p.numel() for p in decoder.parameters())
print(f"{n_trained:,} of {n_all:,} numbers trained: {n_trained / n_all:.2%}")
bare = [shop.shop_prompt(message) for message in unseen]
right["after fine-tuning"] = exact_matches(decoder, tokenizer, bare, wanted)
shares = {}
for way, matches in right.items():
    low, high = wilson_interval(sum(matches), len(matches))
    shares[way] = sum(matches) / len(matches), low, high
    print(f"{way:18} {shares[way][0]:4.0%}, 95 % interval {low:.0%} to {high:.0%}")

# %% tags=["experiment", "nbval-ignore-output"]
plots.share_chart(shares, f"JSON, right to the last character ({len(unseen)} messages)")

# %% [markdown]
# The instruction alone gives nearly nothing: a model of this size does not know what you mean by JSON with these two keys. Examples show the form, and that helps a little. Fifty solved messages and some seconds of training help more, and the prompt has become shorter as well. But look at the intervals: twenty messages say that training beats the bare instruction, and not by how much, nor surely that it beats the examples. A shop that had to decide would try more messages, and train for longer than we can here.
#
# ### What it forgot
#
# **Claim:** LoRA trains so little that nothing is forgotten. Ask the fine-tuned model about something else, and look at its loss on ordinary text:

# %% tags=["experiment", "nbval-ignore-output"]
after = shop.text_loss(decoder, tokenizer, other_text, 64)
print(f"loss on other text: {before:.1f} before, {after:.1f} after (nats a token)")
chat = [shop.chat_prompt([{"role": "user", "content": text}]) for text in (question, unseen[0].text)]
for text, said in zip((question, unseen[0].text), shop.answers(decoder, tokenizer, chat, 16)):
    print(f"{text}\n    {said}")

# %% [markdown]
# **Measured:** it forgets. The loss on other text has risen, and after twenty steps the model is inclined to see a customer in everybody. Nothing was there to tell it not to: all its fifty texts were messages. This is *catastrophic forgetting*. What is done about it: mix in other conversations, train for less long, use a lower rank, or take the detours out again when another task is asked for. That last one is the beauty of LoRA: the frozen weights are all still there, and an adapter is a small file (`save_lora`) that can be put in and taken out.

# %% tags=["experiment"]
shop.take_out_lora(decoder)
print("as it was:", shop.text_loss(decoder, tokenizer, other_text, 64) == before)

# %% [markdown]
# ### What would break if ...
#
# ... the prompt were learned too? Most labels would be words of customers, and the answer, which is all we want, would get a third of the gradient. ... the end marker were left out of the answers? The model would go on after the brace, with a next message of its own invention.

# %% [markdown]
# ## 3. Preferences
#
# **It is easier to say which of two answers is better than to write a good one.** So people compare. How does a model learn from comparisons?
#
# Bradley and Terry gave answers a score each: the better one of two is preferred with probability $\sigma(s_1 - s_2)$, where $\sigma(x) = 1 / (1 + e^{-x})$. With scores 2 and 1:

# %%
print("the first is preferred with probability", round(1 / (1 + math.exp(-(2.0 - 1.0))), 3))
print("the surprise if so:", round(-math.log(1 / (1 + math.exp(-1.0))), 3), "nats")

# %% [markdown]
# A *reward model* gives an answer such a score. It is trained to be as little surprised as possible by what people preferred (Stiennon et al. 2020; Ouyang et al. 2022).

# %% [markdown]
# ### Exercise: preference_loss (2 points)
#
# How surprised a reward model is by what people preferred.
#
# - `chosen` and `rejected`, `[batch]`: its scores of the two answers of each pair.
# - Return the mean of $-\log \sigma(\text{chosen} - \text{rejected})$ over the pairs, a tensor without axes, in nats. Gradients flow to both.
# - It is finite for scores of any size.
#
# ```python
# preference_loss(torch.tensor([2.0]), torch.tensor([1.0]))  # tensor(0.3133)
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Only the difference of the two scores counts. What does the loss do where it is -1000?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Difference, log sigmoid in one step, minus, mean. The sigmoid of -1000 is 0 in a computer, and log 0 is minus infinity; `F.logsigmoid` never goes through that 0.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `return -F.logsigmoid(...).mean()`
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "adapting-preference_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def preference_loss(
    chosen: Float[Tensor, "batch"], rejected: Float[Tensor, "batch"]
) -> Float[Tensor, ""]:
    """Mean of -log sigmoid(chosen - rejected), nats per pair.

    >>> preference_loss(torch.tensor([2.0]), torch.tensor([1.0]))
    tensor(0.3133)
    """
    if not len(chosen):
        raise ValueError("chosen must hold at least one number, got none")

    ### BEGIN SOLUTION
    return -F.logsigmoid(chosen - rejected).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-adapting-preference_loss", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("adapting.preference_loss", preference_loss)
### BEGIN HIDDEN TESTS
check("adapting.preference_loss", preference_loss, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# A reward model is a second model, and then the first one must be trained to please it. Rafailov et al. (2023) noticed that one can do without. Say the model that is trained, the *policy*, should be rewarded, and pay for going away from where it started, the *reference*. The best policy for a reward $r$ and a price $\beta$ per nat can be written down: it is the reference times $e^{r / \beta}$, made to sum to one. Turn this round, and the reward that a policy is the best for is $\beta \log (\text{policy} / \text{reference})$, up to a number that is the same for both answers and falls out of the difference. So put it straight into the preference loss: *direct preference optimisation*, DPO.
#
# By hand: the chosen answer has gained 2 nats since the start, the rejected one nothing, and $\beta$ is 0.5. Then the margin is 0.5 · (2 - 0) = 1, and the loss is the one above.

# %% [markdown]
# ### Exercise: dpo_loss (3 points)
#
# Preferences learned without a reward model.
#
# - `policy_chosen` and `policy_rejected`, `[batch]`: log-probabilities of the two answers of each pair by the model that learns, each summed over its tokens. `reference_chosen` and `reference_rejected`: the same by the model that it started from.
# - What an answer has gained is policy less reference. Return the mean of $-\log \sigma(\beta \cdot (\text{gained by chosen} - \text{gained by rejected}))$.
# - The reference gets no gradient. Long answers have log-probabilities of -1000: the loss stays finite.
#
# ```python
# minus = torch.tensor([-1.0]), torch.tensor([-5.0]), torch.tensor([-3.0]), torch.tensor([-5.0])
# dpo_loss(*minus, beta=0.5)  # tensor(0.3133): 2 nats gained by the chosen, 0 by the rejected
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# It is `preference_loss` of two rewards. What is the reward of an answer here?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Two gains, each a difference; their difference times beta; log sigmoid, minus, mean. `detach()` cuts the way back to the reference.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `gained = policy_chosen - reference_chosen.detach()`, the same for the rejected, then `-F.logsigmoid(beta * (...)).mean()`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "adapting-dpo_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def dpo_loss(
    policy_chosen: Float[Tensor, "batch"],
    policy_rejected: Float[Tensor, "batch"],
    reference_chosen: Float[Tensor, "batch"],
    reference_rejected: Float[Tensor, "batch"],
    beta: float,
) -> Float[Tensor, ""]:
    """Mean of -log sigmoid(beta * (gained by chosen - gained by rejected)).

    >>> one, zero = torch.tensor([1.0]), torch.tensor([0.0])
    >>> dpo_loss(one, zero, one, zero, beta=0.1)  # nothing gained: log 2
    tensor(0.6931)
    """
    if not len(policy_chosen):
        raise ValueError("policy_chosen must hold at least one number, got none")
    if not 0 < beta < math.inf:
        raise ValueError(f"beta must be above 0 and finite, got {beta}")

    ### BEGIN SOLUTION
    gained = policy_chosen - reference_chosen.detach()
    gained_by_rejected = policy_rejected - reference_rejected.detach()
    return -F.logsigmoid(beta * (gained - gained_by_rejected)).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-adapting-dpo_loss", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("adapting.dpo_loss", dpo_loss)
### BEGIN HIDDEN TESTS
check("adapting.dpo_loss", dpo_loss, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# The older way is to try: the policy writes, each text is rewarded, and texts that did better than expected are made more probable (*policy gradient*, or REINFORCE; Williams 1992). If nothing held it back, it would do anything for its reward. So the reward is put on a *leash*: a text pays for each nat by which the policy finds it more probable than the reference does. Summed over a text that the policy wrote itself, that is one draw of their *Kullback-Leibler divergence*, KL.
#
# By hand, a text of two tokens: log-probabilities -1 and -0.5 by the policy, -2 and -3 by the reference. It has gained 1 + 2.5 = 3.5 nats. With a reward of 2 and $\beta$ = 0.5 it keeps 2 - 0.5 · 3.5 = 0.25.

# %% [markdown]
# ### Exercise: kl_reward (2 points)
#
# A reward on a leash.
#
# - `reward` `[batch]`, one for each text. `policy_log_probs` and `reference_log_probs`, `[batch, time]`: of each token that was written. `mask` `[batch, time]`, True = a token that counts.
# - Return `[batch]`: the reward less `beta` times the *sum* over the places that count of policy less reference. `beta` may be 0.
# - What stands where the mask is False plays no part, be it -inf.
#
# ```python
# log_probs = torch.tensor([[-1.0, -0.5]]), torch.tensor([[-2.0, -3.0]])
# kl_reward(torch.tensor([2.0]), *log_probs, torch.tensor([[True, True]]), beta=0.5)  # tensor([0.2500])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# -inf less -inf is NaN, and NaN times 0 is NaN. So do not multiply by the mask.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Difference, 0 where the mask is False (`masked_fill` with the mask turned round), sum along time, times beta, taken away from the reward.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `gained = (policy_log_probs - reference_log_probs).masked_fill(~mask, 0)`, then `reward - beta * gained.sum(-1)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "adapting-kl_reward", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def kl_reward(
    reward: Float[Tensor, "batch"],
    policy_log_probs: Float[Tensor, "batch time"],
    reference_log_probs: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    beta: float,
) -> Float[Tensor, "batch"]:
    """reward - beta * the sum over the places that count of policy less reference.

    >>> zeros, all_count = torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)
    >>> kl_reward(torch.tensor([2.0]), zeros, zeros - 1, all_count, beta=0.5)
    tensor([1.])
    """
    if not 0 <= beta < math.inf:
        raise ValueError(f"beta must be at least 0 and finite, got {beta}")

    ### BEGIN SOLUTION
    gained = (policy_log_probs - reference_log_probs).masked_fill(~mask, 0)  # [batch, time]
    return reward - beta * gained.sum(-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-adapting-kl_reward", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("adapting.kl_reward", kl_reward)
### BEGIN HIDDEN TESTS
check("adapting.kl_reward", kl_reward, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: policy_gradient_loss (2 points)
#
# Make what was better than expected more probable.
#
# - `log_probs` and `mask`, `[batch, time]`, as above; `advantage` `[batch]`: how much better than expected each text was, below 0 if it was worse.
# - Return minus the mean over the texts of the advantage times the text's log-probability, which is the sum over the places that count.
# - The advantage gets no gradient. What stands where the mask is False plays no part, be it -inf.
#
# ```python
# both = torch.tensor([[True, True]])
# policy_gradient_loss(torch.tensor([[-1.0, -0.5]]), both, torch.tensor([2.0]))  # tensor(3.)
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Going down this loss must raise the log-probability of a text with a positive advantage.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# First the log-probability of each text, `[batch]`, as in `kl_reward`. Then multiply, mean over the batch, minus. `detach()` the advantage.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `of_texts = log_probs.masked_fill(~mask, 0).sum(-1)`, then `-(advantage.detach() * of_texts).mean()`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "adapting-policy_gradient_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def policy_gradient_loss(
    log_probs: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    advantage: Float[Tensor, "batch"],
) -> Float[Tensor, ""]:
    """Minus the mean over the texts of advantage times log-probability.

    >>> policy_gradient_loss(-torch.ones(1, 2), torch.tensor([[True, False]]), torch.tensor([3.0]))
    tensor(3.)
    """
    if not len(advantage):
        raise ValueError("advantage must hold at least one number, got none")

    ### BEGIN SOLUTION
    of_texts = log_probs.masked_fill(~mask, 0).sum(-1)  # [batch]
    return -(advantage.detach() * of_texts).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-adapting-policy_gradient_loss", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("adapting.policy_gradient_loss", policy_gradient_loss)
### BEGIN HIDDEN TESTS
check("adapting.policy_gradient_loss", policy_gradient_loss, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Where the truth is known
#
# With people, nobody knows the true reward; there are only their comparisons. In Storyland (notebook 06) we can say exactly what we want: **a story of three sentences whose last one is a sentence of this world and tells of a good mood.** Such a story is worth 1, any other 0. A small decoder reads stories first; it writes good and bad ends alike, and makes mistakes. From this start, four ways to do better:
#
# - *Best of n*: write n stories and keep the best. Nothing is trained.
# - *DPO* on pairs of its own stories, of which the better one was preferred.
# - *Policy gradient* with the true reward, on a leash.
# - *Policy gradient* with a *learned* reward: a reward model that has seen the same pairs. It is a simple one and knows only how much each word is worth. Once without a leash, and once with.

# %% tags=["experiment", "nbval-ignore-output"]
torch.set_num_threads(1)  # the models are so small that two threads would wait for each other
world = Storyland(0, "small", ("encounter",))
seeded = torch.Generator().manual_seed
start = preferences.writer(world, steps=200, generator=seeded(0))
truth = preferences.true_reward(world)
stories = preferences.write(start, world.end_id, 400, seeded(1))
for row, worth in zip(stories[:4], truth(stories[:4]).tolist()):
    print(f"{worth:.0f}  {world.decode(row[1:]).strip()}")
print(f"worth something at the start: about {truth(stories).mean():.0%}")

# %% tags=["experiment", "nbval-ignore-output"]
pairs = preferences.prefer(start, truth, world, 400, seeded(2))
learned = preferences.learned_reward(pairs, world)
look = preferences.look
at_start = look(start, start, (truth, truth), world.end_id, seeded(9))
pushed_start = look(start, start, (learned, truth), world.end_id, seeded(9))


def see(reward):
    return lambda policy: look(policy, start, (reward, truth), world.end_id, seeded(9))


common = {"steps": 15, "every": 3}
_, tried = preferences.by_policy_gradient(
    start, truth, world.end_id, beta=0.05, generator=seeded(3), see=see(truth), **common
)
by_pairs = preferences.by_dpo(
    start, pairs, world.end_id, beta=0.5, generator=seeded(3), see=see(truth), **common
)
true_ways = {
    "best of n": preferences.best_of_n(truth(stories), truth(stories), (1, 2, 4, 8, 16)),
    "DPO": [at_start, *by_pairs],
    "policy gradient": [at_start, *tried],
}
pushed, spoiled = {}, {}
for name, beta in {"no leash": 0.0, "on a leash": 3.0}.items():
    spoiled[name], looks = preferences.by_policy_gradient(
        start, learned, world.end_id, beta=beta, generator=seeded(3), see=see(learned), **common
    )
    pushed[name] = [pushed_start, *looks]
torch.set_num_threads(2)

# %% tags=["experiment", "nbval-ignore-output"]
plots.leash_chart(true_ways, pushed)

# %% tags=["experiment", "nbval-ignore-output"]
for name, looks in {**true_ways, **pushed}.items():
    best, last = max(one.true for one in looks), looks[-1]
    print(f"{name:16} true reward: best {best:.1f}, at the end {last.true:.1f}, {last.kl:.0f} nats away")
print("\nwithout a leash it writes now:")
for row in preferences.write(spoiled["no leash"], world.end_id, 2, seeded(4)):
    print("   ", world.decode(row[1:]).strip())

# %% [markdown]
# Read the figure from the left. **Best of n** gets nearly everything at a distance of about one nat, and without training; its price is n stories for each that is used. **Policy gradient** gets close at a price paid once. **DPO** learns from the pairs without writing a single story, and in so short a training it gains less; a pair tells it which story was better, and nothing about those that were not among the pairs.
#
# **Claim:** the higher the reward, the better the model. **Measured:** only near the start. Look at the learned reward, judged by the truth in the middle, by itself on the right. For a while what it praises is good. Then the policy finds out what it really counts: words. A story that says well-paid words again and again scores better and better, and is worth nothing. The learned reward goes on rising while the true one falls: *over-optimisation*, or Goodhart's law. Gao et al. (2022) measured it for language models: the true reward rises with the distance, has a peak, and falls. On a leash the policy stays near the stories that the reward model has seen, and so where it can be believed; it gains less by its own measure, and is not spoiled.
#
# ### What would break if ...
#
# ... the advantage were the reward itself, with no mean taken away? Every reward here is 0 or more, so that every story that was written would be made more probable, a good one only a little more than others: the direction is right on average and lost in the noise. ... the mask were left out of the KL? Rows are filled up with the end token; the policy would pay for tokens that it never wrote.

# %% [markdown]
# ## 4. Passages to read from
#
# **What changes every day, or belongs to you alone, does not go into weights; it is looked up and put into the prompt.** A *retriever* finds passages that suit the question, and the model reads them with it: *retrieval-augmented generation* (Lewis et al. 2020). MiniLM finds passages well (notebook 05). What remains is to choose: a prompt has room for so many tokens.
#
# By hand: room for 8 tokens; passages with scores 0.5, 0.9, 0.7, 0.1 and lengths 2, 4, 5, 1. The best (4 tokens) is taken. The second best does not fit any more. The next (2) does, and so does the last (1).

# %% [markdown]
# ### Exercise: choose_passages (2 points)
#
# Which passages to put in front of a question.
#
# - `scores` and `lengths`: for each passage, how well it suits the question and how many tokens it has. `budget`: how many tokens there is room for.
# - Go through the passages by score, the best first, equal ones in the order of their places. Take each that still fits into what is left, to the last token. Pass over one that does not, and go on.
# - Return the places of those taken, the best first.
#
# ```python
# choose_passages([0.5, 0.9, 0.7, 0.1], [2, 4, 5, 1], budget=8)  # [1, 0, 3]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Sort places, not passages: `sorted(range(len(scores)), key=...)`.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Python's sort keeps equal ones in their order. Sort by minus the score. Then one loop: if it fits, append its place and make the budget smaller.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `for place in sorted(range(len(scores)), key=lambda place: -scores[place]): if lengths[place] <= budget: ...`
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "adapting-choose_passages", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_arguments
def choose_passages(scores: Sequence[float], lengths: Sequence[int], budget: int) -> list[int]:
    """Places of the passages taken, best first, as long as they fit.

    >>> choose_passages([0.5, 0.9, 0.7, 0.1], [2, 4, 5, 1], budget=8)
    [1, 0, 3]
    """
    if len(scores) != len(lengths):
        raise ValueError(f"lengths must be {len(scores)}, one a score, got {len(lengths)}")
    if budget < 0 or any(length < 0 for length in lengths):
        what = f"budget must be at least 0, got {budget}"
        raise ValueError(what if budget < 0 else f"lengths must be at least 0, got {min(lengths)}")

    ### BEGIN SOLUTION
    chosen: list[int] = []
    for place in sorted(range(len(scores)), key=lambda place: -scores[place]):  # stable
        if lengths[place] <= budget:
            chosen.append(place)
            budget -= lengths[place]
    return chosen
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-adapting-choose_passages", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("adapting.choose_passages", choose_passages)
### BEGIN HIDDEN TESTS
check("adapting.choose_passages", choose_passages, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# SmolLM2 cannot know this course. Ask it which function does something, in other words than the course uses, and see whether the name comes: with no passage, with those that MiniLM finds among the course's own docstrings, and with wrong ones, the same search after the right passage was taken out.

# %% tags=["experiment"]
sources = {"01": "tokenization", "03": "attention", "05": "finetuning", "06": "training"}
sources |= {"08": "decoding", "09": "in_context"}
passages = [passage.text for passage in search.docstring_passages(sources)]
names = list(shop.QUESTIONS.values())
retriever, words = load_minilm()
vectors = search.embed_texts(retriever, words, passages)
scores = search.embed_texts(retriever, words, list(shop.QUESTIONS)) @ vectors.T
sizes = [len(tokenizer.encode(passage)) for passage in passages]
answer_at = [next(i for i, text in enumerate(passages) if text.startswith(f"{n}:")) for n in names]
found = [choose_passages(row.tolist(), sizes, 30) for row in scores]
without = scores.scatter(1, torch.tensor(answer_at)[:, None], -1.0)
wrong = [choose_passages(row.tolist(), sizes, 30) for row in without]
hits = sum(place in chosen for place, chosen in zip(answer_at, found))
print(f"{len(passages)} passages; the right one is among those chosen for {hits} of {len(names)}")

# %% tags=["experiment", "nbval-ignore-output"]
ways = {"nothing to read": [[]] * len(names), "what was found": found, "wrong passages": wrong}
shares, said = {}, {}
for way, chosen in ways.items():
    prompts = [
        shop.grounded_prompt(question, [passages[place] for place in places])
        for question, places in zip(shop.QUESTIONS, chosen)
    ]
    said[way] = shop.answers(decoder, tokenizer, prompts, 6)
    n_right = sum(name in shop.plain(text) for name, text in zip(names, said[way]))
    shares[way] = n_right / len(names), *wilson_interval(n_right, len(names))
    print(f"{way:16} {n_right} of {len(names)}")
for row in zip(list(shop.QUESTIONS)[:2], *(answers[:2] for answers in said.values())):
    print(*row, sep="\n    ")
plots.share_chart(shares, "The model answers from what it is given to read")

# %% [markdown]
# With nothing to read there is nothing to answer from, and the model does not say so: it makes up a name. When the right passage is found, the model can copy the name from it, and now and then it does: a small reader misses much of what stands before it. With the wrong passages it answers as readily, and wrong. **Retrieval moves the question of what is true from the model to the passages**: what is not found cannot be answered, and what is found wrong will be believed. So measure the two apart, as above: how often the passage is there, and how often the answer is right when it is.

# %% [markdown]
# ## 5. Fewer bits
#
# **To write a token, every weight is read once from memory. Fewer bits mean less memory, and less to wait for.** Weights are *quantised*: each is rounded to one of a few steps. The simplest way (*absmax*): a row's largest number in absolute value becomes the highest step, and all others are rounded to whole steps. Each row has its own *scale*, what one step is worth. Dettmers et al. (2022) do this with 8 bits.
#
# By hand, with 3 bits. One bit is for the sign, so steps go from -3 to 3. The row is 0.3, -0.6, 0.1; its largest is 0.6, so that a step is worth 0.2. In steps the row is 1.5, -3, 0.5, rounded 2, -3, 0. (Halves go to the even neighbour, as `torch.round` does it.) Back again: 0.4, -0.6, 0. No number is off by more than half a step.

# %% [markdown]
# ### Exercise: quantize_rows (3 points)
#
# Round each row of a weight to a few whole numbers.
#
# - `weight` `[out, in]`, floats. `bits`: 2 to 8.
# - `scale` `[out]`: each row's largest absolute value divided by $2^{\text{bits} - 1} - 1$. It has the precision of the weight.
# - `values` `[out, in]`, int8 whatever the bits: the row divided by its scale, rounded as `torch.round` rounds.
# - A row of zeros has scale 0 and values 0. Return `(values, scale)`.
#
# ```python
# quantize_rows(torch.tensor([[0.5, -0.75, 0.25]]), bits=3)
# # (tensor([[ 2, -3,  1]], dtype=torch.int8), tensor([0.2500]))
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# How many steps are there on the positive side, if one bit is for the sign and both sides are alike?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Largest absolute value along the last axis, divided by the number of steps: the scale. Divide each row by it, with a 1 where the scale is 0. Round, then make int8 of it.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `levels = 2 ** (bits - 1) - 1`; `scale = weight.abs().amax(-1) / levels`; `steps = weight / torch.where(scale > 0, scale, 1)[:, None]`; `steps.round().clamp(-levels, levels).to(torch.int8)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "adapting-quantize_rows", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def quantize_rows(
    weight: Float[Tensor, "out in"], bits: int
) -> tuple[Int8[Tensor, "out in"], Float[Tensor, "out"]]:
    """Values of so many bits, held in int8, and what one step is worth in each row.

    >>> quantize_rows(torch.tensor([[0.5, -0.75, 0.25]]), bits=3)
    (tensor([[ 2, -3,  1]], dtype=torch.int8), tensor([0.2500]))
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must lie in 2 ... 8, got {bits}")
    if not weight.numel() or not weight.isfinite().all():
        raise ValueError(f"weight must be finite and not empty, got {list(weight.shape)}")

    ### BEGIN SOLUTION
    levels = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(-1) / levels  # [out]
    steps = weight / torch.where(scale > 0, scale, 1)[:, None]  # a row of zeros stays one
    return steps.round().clamp(-levels, levels).to(torch.int8), scale
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-adapting-quantize_rows", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("adapting.quantize_rows", quantize_rows)
### BEGIN HIDDEN TESTS
check("adapting.quantize_rows", quantize_rows, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: dequantize_rows (1 point)
#
# The weight that quantised rows stand for.
#
# - `values` `[out, in]`, int8; `scale` `[out]`, floats: what one step is worth in each row.
# - Return `[out, in]`: each value times the scale of its row, in the precision of `scale`.
#
# ```python
# dequantize_rows(torch.tensor([[2, -3]], dtype=torch.int8), torch.tensor([0.25]))
# # tensor([[ 0.5000, -0.7500]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Which axis do the scales belong to?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Give the scales a second axis of size 1, so that each meets the whole row. int8 times float gives float.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `values * scale[:, None]`
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "adapting-dequantize_rows", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def dequantize_rows(
    values: Int8[Tensor, "out in"], scale: Float[Tensor, "out"]
) -> Float[Tensor, "out in"]:
    """Each value times the scale of its row.

    >>> dequantize_rows(torch.tensor([[2, -3]], dtype=torch.int8), torch.tensor([0.25]))
    tensor([[ 0.5000, -0.7500]])
    """
    ### BEGIN SOLUTION
    return values * scale[:, None]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-adapting-dequantize_rows", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("adapting.dequantize_rows", dequantize_rows)
### BEGIN HIDDEN TESTS
check("adapting.dequantize_rows", dequantize_rows, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Now SmolLM2's blocks, all linear layers of them, with 8, 4, 3 and 2 bits. We look at the loss on ordinary text, at how often the best next token is still the same, and at the memory. (The file that our SmolLM2 comes from holds 4 bits a number already, with a scale for each 32 numbers and not for each row. So what we start from is rounded once; the figures say what rounding *again*, and more coarsely, adds.)

# %% tags=["experiment", "nbval-ignore-output"]
logits, rows = {}, {}
page = torch.tensor([tokenizer.encode(" ".join(other_text))[:96]])
for bits in (32, 8, 4, 3, 2):
    model = decoder if bits == 32 else shop.with_fewer_bits(decoder, bits)
    with torch.no_grad():
        logits[bits] = model(page)
    loss = F.cross_entropy(logits[bits][0, :-1], page[0, 1:]).item()
    same = (logits[bits].argmax(-1) == logits[32].argmax(-1)).float().mean().item()
    rows[bits] = shop.block_bytes(decoder, bits) / 2**20, loss, same
    print(f"{bits:2} bits: {rows[bits][0]:4.0f} MiB   loss {loss:4.1f}   same best token {same:4.0%}")
plots.bits_chart(rows)

# %% [markdown]
# Eight bits are a quarter of the memory, and hardly anybody would notice. With four bits a number and one scale a row the model is hurt, with three and two it is broken: one large number in a row makes the steps so wide that all others fall on a few of them. Hence the many refinements: a scale for each group of 32 or 64 numbers (as in the file), large numbers kept apart (Dettmers et al. 2022), and rounding that looks at what the layer does with the numbers.

# %% [markdown]
# ## 6. Adapt, or train your own?
#
# **BloombergGPT is the famous case of a company that trained its own model from nothing.** Notebook 10 looked at its budget. What did the domain's text buy, and what became of it?
#
# Wu et al. (2023) trained 50 billion parameters on 363 billion tokens of financial text and 345 billion of general text (they stopped after 569 billion of them). On financial tasks it was clearly better than open models of its size, and on general ones it held its own; that is what the paper shows (section 5). The model was not released. In the same year Li et al. (2023) put general chat models to the same kinds of financial tasks. On most of those where BloombergGPT's published figures could be set beside them, GPT-4, which had not been trained for finance, came out ahead with a few examples in its prompt.
#
# So the domain's text did buy something, against models of the same size at the same time. What it did not buy was a lasting lead over larger general models, adapted by prompt alone. That is one case, and a comparison of published figures, but it is the reason for the order of this notebook: **first a prompt, then passages, then a little training in the right place, and a model of your own last.**
#
# | way | what you need | what changes | what it costs you, each time | what may break |
# |---|---|---|---|---|
# | prompt, examples | a few examples | nothing | longer prompts | form and labels (notebook 09) |
# | passages | documents, a retriever | nothing | a search, longer prompts | what is not found, what is found wrong |
# | fine-tuning, LoRA | tens to thousands of answers | a small part | nothing more | other abilities |
# | preferences | comparisons | a small part, or all | nothing more | what the reward does not see |
# | fewer bits | a text to check with | every weight, a little | less than before | rare abilities, if too few |
# | own pre-training | billions of tokens | everything | your own model to keep up | the budget (notebook 10) |

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("11_adapting")

# %% [markdown]
# ## Summary
#
# - **Instruction tuning** is language modelling on conversations, with the loss on the answers only, end marker included.
# - **LoRA** goes into a decoder as into an encoder: freeze all, put detours around chosen layers. With frozen lower blocks, what they compute can be kept.
# - After fifty solved messages a small model answered in the form that an instruction alone could not give it, and used it everywhere afterwards: **forgetting**.
# - **Preferences**: $-\log \sigma$ of a difference of scores. A reward model gives the scores; in **DPO** they are beta times what the policy has gained over its start.
# - **Policy gradient** makes more probable what did better than expected; a **leash** (KL) keeps it where the reward can be believed. Without one a learned reward is **over-optimised**: it rises while the true one falls.
# - **Retrieval** puts what was found into the prompt. The model believes it, right or wrong.
# - **Quantising** rounds rows to a few steps. Eight bits are nearly free; with few bits one scale a row is too coarse.
# - First a prompt, then passages, then a little training; a model of your own last.
#
# ## Test yourself
#
# <details><summary>1. Why does the prompt get the label -100?</summary>
#
# It is given, and not to be written. With labels it would take most of the gradient and teach the model to write questions.
#
# </details>
# <details><summary>2. A layer is [1000, 1000]. How many numbers does LoRA of rank 4 train in it?</summary>
#
# A is [4, 1000] and B is [1000, 4]: 8,000, less than a hundredth of the million.
#
# </details>
# <details><summary>3. Policy and reference agree on all answers. What is the DPO loss?</summary>
#
# Nothing is gained, the margin is 0, and -log sigmoid(0) = log 2, about 0.69, whatever beta is.
#
# </details>
# <details><summary>4. The learned reward rises with every step. Is the model getting better?</summary>
#
# Perhaps, perhaps not. It is trained to make that number rise. Ask people, or anything else that it was not trained for; and look at how far it has gone from the start.
#
# </details>
# <details><summary>5. A row holds numbers near 0.01 and one of 10. What does quantising it to 4 bits do?</summary>
#
# A step is worth 10 / 7. All the small ones become 0: the one large number has eaten the scale.
#
# </details>
#
# ## Where to read on
#
# - Ouyang et al. (2022), *Training language models to follow instructions with human feedback*, section 3: examples, reward model, leash.
# - Hu et al. (2021), *LoRA: Low-Rank Adaptation of Large Language Models*, sections 4 and 7.
# - Stiennon et al. (2020), *Learning to summarize from human feedback*, section 3 and the appendix on over-optimisation; Gao, Schulman and Hilton (2022), *Scaling Laws for Reward Model Overoptimization*.
# - Rafailov et al. (2023), *Direct Preference Optimization*, section 4.
# - Lewis et al. (2020), *Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks*, section 2.
# - Dettmers et al. (2022), *LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale*, section 2.
# - Wu et al. (2023), *BloombergGPT: A Large Language Model for Finance*; Li et al. (2023), *Are ChatGPT and GPT-4 General-Purpose Solvers for Financial Text Analytics?*
