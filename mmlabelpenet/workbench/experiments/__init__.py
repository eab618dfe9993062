"""Ablations, comparisons over seeds, diagnosis of multiple-instance learning, estimates of time and memory."""
