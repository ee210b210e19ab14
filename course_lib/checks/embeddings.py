"""Notebook 02: what each exercise demands."""
