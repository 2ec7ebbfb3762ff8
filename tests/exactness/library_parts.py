"""A tiny model of transformers."""

from __future__ import annotations

from typing import Any

from transformers import BertConfig, BertForSequenceClassification


def bert(session: Any, num_labels: int = 3, positions: int = 12) -> BertForSequenceClassification:
    """A classifier of sentences; hidden size 8, one layer."""
    sizes = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    more = {"intermediate_size": 16, "max_position_embeddings": positions}
    return BertForSequenceClassification(BertConfig(**sizes, **more, num_labels=num_labels))
