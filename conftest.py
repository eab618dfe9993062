"""Names that docstring examples may use without importing them."""

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _names_of_examples(doctest_namespace: dict) -> None:
    doctest_namespace.update(torch=torch, np=np, nn=torch.nn)
