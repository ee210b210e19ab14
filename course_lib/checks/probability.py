"""Notebook 00: what each exercise demands."""
