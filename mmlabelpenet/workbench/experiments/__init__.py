"""Ablations, comparisons over seeds, diagnostics of multiple-instance learning, estimates of time and memory."""
