"""Experiments that a notebook shows in small and a benchmark repeats in full."""
