"""Placeholder until the kernels are written."""


def install() -> None:
    """Nothing yet."""
