"""Input adapters."""

from __future__ import annotations

import pytest
import torch

from torchassistant.adapters import SelectInputs
from torchassistant.errors import DataError


def test_each_node_gets_the_columns_that_it_names():
    images, noise = torch.zeros(2), [1, 2]
    adapter = SelectInputs({"net": {"x": "images", "z": "noise"}, "other": {"x": "noise"}})
    inputs = adapter({"images": images, "noise": noise, "labels": [0]})
    assert inputs == {"net": {"x": images, "z": noise}, "other": {"x": noise}}
    assert inputs["net"]["x"] is images


def test_a_missing_column_is_told_with_the_near_name_and_all_names():
    adapter = SelectInputs({"LeNet5": {"x": "imges"}})
    with pytest.raises(DataError) as caught:
        adapter({"images": 1, "labels": 2})
    assert str(caught.value) == (
        'input "x" of node "LeNet5" is to be the column "imges", which is missing. '
        'Did you mean "images"? The data frame has "images", "labels".'
    )


def test_a_missing_column_without_a_near_name():
    with pytest.raises(DataError, match=r"which is missing\. The data frame has \"images\"\.$"):
        SelectInputs({"net": {"x": "zzz"}})({"images": 1})
    with pytest.raises(DataError, match=r"The data frame is empty\.$"):
        SelectInputs({"net": {"x": "zzz"}})({})


@pytest.mark.parametrize("nodes", [["net"], "net", {"net": "images"}, {"net": {"x": 1}}])
def test_what_is_no_mapping_of_names_is_refused(nodes):
    with pytest.raises(ValueError, match="found"):
        SelectInputs(nodes)
