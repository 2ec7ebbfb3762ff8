"""Output adapters."""

from __future__ import annotations

import pytest

from torchassistant.errors import DataError
from torchassistant.output_adapters import IdentityAdapter, RenameVariables, SelectVariables

FRAME = {"x": [1], "y": [2], "y_hat": [3]}


def test_identity_gives_the_frame_itself():
    frame = dict(FRAME)
    assert IdentityAdapter()(frame) is frame


def test_select_keeps_the_named_columns_in_their_order():
    selected = SelectVariables(["y_hat", "x"])(FRAME)
    assert list(selected) == ["y_hat", "x"]
    assert selected["x"] is FRAME["x"]


def test_select_tells_a_missing_column():
    with pytest.raises(DataError, match=r'column "y_hut", .* Did you mean "y_hat"\?.*"x", "y"'):
        SelectVariables(["x", "y_hut"])(FRAME)


@pytest.mark.parametrize("names", ["x", [1]])
def test_select_refuses_what_is_no_list_of_names(names):
    with pytest.raises(ValueError, match="names must be a list"):
        SelectVariables(names)


def test_rename_changes_names_and_keeps_order_and_the_rest():
    renamed = RenameVariables({"x": "images"})(FRAME)
    assert list(renamed.items()) == [("images", [1]), ("y", [2]), ("y_hat", [3])]
    assert list(FRAME) == ["x", "y", "y_hat"]


def test_names_can_be_exchanged():
    assert RenameVariables({"x": "y", "y": "x"})(FRAME) == {"y": [1], "x": [2], "y_hat": [3]}


def test_rename_tells_a_missing_column():
    with pytest.raises(DataError, match='column "z", which is missing'):
        RenameVariables({"z": "x"})(FRAME)


def test_rename_never_loses_a_column():
    with pytest.raises(DataError, match='cannot call column "x" "y"'):
        RenameVariables({"x": "y"})(FRAME)


@pytest.mark.parametrize("names", [["x"], {"x": 1}, {"x": "z", "y": "z"}])
def test_rename_refuses_bad_names(names):
    with pytest.raises(ValueError, match="column"):
        RenameVariables(names)
