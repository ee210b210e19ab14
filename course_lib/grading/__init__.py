"""From the instructor's notebooks to the learner's copies, and from submissions to grades."""

import sys

# jsonschema, behind nbformat and Jupyter, makes a parser for international web addresses when it is
# imported, which takes a second. No schema of a notebook asks for one; it does without.
sys.modules.setdefault("rfc3987_syntax", None)
