"""Notebook 01: what each exercise demands."""
