"""Notebook 04: what each exercise demands."""
