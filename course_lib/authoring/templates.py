"""What a new exercise and a new notebook begin with: every place that waits for text says `...`."""

TASK = """\
### Exercise: {name} ({points})

{says}

- What must hold: shapes, units, what is refused, what must not be used.

```python
{name}(...)
# ...
```

<details><summary>Hint 1: a nudge</summary>

...

</details>
<details><summary>Hint 2: the plan</summary>

...

</details>
<details><summary>Hint 3: almost the code</summary>

...

</details>"""

CHECK = """\
check("{id}", {name})
### BEGIN HIDDEN TESTS
check("{id}", {name}, hidden=True)
### END HIDDEN TESTS"""

EXERCISE = '''\
"""What `{id}` demands."""

from __future__ import annotations

from course_lib import {idea}
from course_lib.checks.exercise import Case, Exercise

{name} = Exercise("{id}", points={points}, reference={idea}.{name})


@{name}.cases
def _(draw):
    yield Case("...", {{{arguments}}})  # from small to large
    if draw.hidden:
        yield Case("...", {{{arguments}}})  # larger, and no new demand


# at least four: wrong solutions that people really write
@{name}.misconception
def does_something_else{parameters}:
    """Say what is wrong and why, and where to look, without giving the line away."""
    raise NotImplementedError


# at least two: right solutions written differently
@{name}.alternative
def in_another_way{parameters}:
    """How."""
    raise NotImplementedError
'''

IDEA = '"""{title} (notebook {number})."""\n'

NOTEBOOK = """\
# %% [markdown]
# # {title}
#
# **{question}**
#
# ...
#
# > **You will build** ...
# >
# > **You need** ...
# >
# > **It takes** about {minutes} minutes to work through, and under 60 seconds to run.

# %%
from course_lib.checks import check

# %% [markdown]
# ## 1. The first section
#
# **The claim of this section: ...**

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("{notebook}")

# %% [markdown]
# ## Summary
#
# - ...
#
# ## Test yourself
#
# <details><summary>1. ...</summary>
#
# ...
#
# </details>
# <details><summary>2. ...</summary>
#
# ...
#
# </details>
# <details><summary>3. ...</summary>
#
# ...
#
# </details>
# <details><summary>4. ...</summary>
#
# ...
#
# </details>
# <details><summary>5. ...</summary>
#
# ...
#
# </details>
#
# ## Where to read on
#
# - ...
"""  # noqa: E501

MATERIAL = """\
# --- cards: 12 to 20 ---

[[card]]
id = "{idea}.first_card"
section = "1. The first section"
front.en = "..."
front.pt_BR = "..."
back.en = "..."
back.pt_BR = "..."

# --- questions: 5 or 6 ---

[[question]]
id = "{idea}.quiz_first"
section = "1. The first section"
text.en = "..."
text.pt_BR = "..."
right.en = "..."
right.pt_BR = "..."
why.en = "..."
why.pt_BR = "..."

[[question.wrong]]
choice.en = "..."
choice.pt_BR = "..."
why.en = "..."
why.pt_BR = "..."

[[question.wrong]]
choice.en = "..."
choice.pt_BR = "..."
why.en = "..."
why.pt_BR = "..."
"""
