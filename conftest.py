"""Names that docstring examples may use without importing them, and what holds for every test."""

import gc

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _names_of_examples(doctest_namespace: dict) -> None:
    doctest_namespace.update(torch=torch, np=np, nn=torch.nn)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what was imported and collected: mmengine has it visit all objects for each data set."""
    gc.freeze()
