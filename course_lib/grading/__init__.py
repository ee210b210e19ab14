"""From the instructor's notebooks to the learner's copies, and from submissions to grades."""

import sys

# nbformat imports jsonschema, which takes a second to compile grammars for addresses, in every
# process that it is imported in. No notebook's schema has addresses, and it goes on without them.
sys.modules.setdefault("rfc3987_syntax", None)
