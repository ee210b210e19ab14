"""Submissions that try to get marks without earning them, and what is made of them."""
