"""Objects of users are told from each other by what they are, not by what they compare to."""

from __future__ import annotations

from torchassistant.graph.by_identity import distinct, is_among


class Same:
    """Says that it equals everything, and cannot be hashed."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_objects_that_are_equal_are_not_the_same() -> None:
    one, other = Same(), Same()
    assert [id(item) for item in distinct([one, other, one])] == [id(one), id(other)]
    assert is_among(one, [other, one])
    assert not is_among(one, [other])
