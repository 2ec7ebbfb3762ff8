"""Adapters between data, models and text: small functions and classes that the configs name."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class TeacherForcing:
    """Input adapter: the decoder gets the true English words, shifted by one place."""

    def __call__(self, frame: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """From the columns ``french`` (B, S) and ``english`` (B, T + 1), both int64."""
        return {
            "encoder": {"french": frame["french"]},
            "decoder": {"previous_words": frame["english"][:, :-1]},
        }


def scores_and_targets(scores: Tensor, english: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, T, V), and the words (B, T) to predict: all but the start."""
    return scores, english[:, 1:]


def words_and_targets(scores: Tensor, english: Tensor) -> tuple[Tensor, Tensor]:
    """The best words by the scores (B, T, V), int64 (B, T), and the true ones without the start."""
    return scores.argmax(-1), english[:, 1:]
