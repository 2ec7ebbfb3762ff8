"""The two models: the encoder reads French, the decoder writes English.

The decoder looks at the encoder's memory through the attention of M.-T. Luong, H. Pham and C. D.
Manning, "Effective Approaches to Attention-based Neural Machine Translation", EMNLP 2015.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def encoder(session: Any, vocabulary: str, size: int) -> Encoder:
    """An encoder of the texts of a fitted ``TextTokenizer``, which has this name."""
    tokenizer = session.preprocessors[vocabulary]
    return Encoder(len(tokenizer), size, tokenizer.padding_id)


def decoder(session: Any, vocabulary: str, size: int, max_words: int) -> Decoder:
    """A decoder into the texts of a fitted ``TextTokenizer``, which has this name."""
    tokenizer = session.preprocessors[vocabulary]
    return Decoder(len(tokenizer), size, tokenizer.start_id, tokenizer.end_id, max_words)


class Encoder(nn.Module):
    """A bidirectional GRU over the words of a text.

    Args:
        num_words: The size of the vocabulary.
        size: The size H of what is remembered of a word; even.
        padding_id: The number that stands behind the end of shorter texts.
    """

    def __init__(self, num_words: int, size: int, padding_id: int) -> None:
        super().__init__()
        self.padding_id = padding_id
        self.embedding = nn.Embedding(num_words, size)
        self.gru = nn.GRU(size, size // 2, batch_first=True, bidirectional=True)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Read a batch of texts.

        Args:
            words: int64 (B, S), padded at the end.

        Returns:
            The memory, float (B, S, H), and where it is of words and not of padding, bool (B, S).
        """
        is_word = words != self.padding_id
        # Packed, so that the backward direction starts at the last word and not in the padding.
        packed = pack_padded_sequence(
            self.embedding(words), is_word.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        memory, _ = pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=words.shape[1]
        )
        return memory, is_word


class Decoder(nn.Module):
    """A GRU that generates one word after the other, with attention to a memory.

    Args:
        num_words: The size V of the vocabulary.
        size: The size H of what the memory holds of a word.
        start_id: The number of the word that every text starts from.
        end_id: The number of the word that ends a text.
        max_words: Where a free-running text is broken off if it has not ended.
    """

    def __init__(
        self, num_words: int, size: int, start_id: int, end_id: int, max_words: int
    ) -> None:
        super().__init__()
        self.start_id = start_id
        self.end_id = end_id
        self.max_words = max_words
        self.embedding = nn.Embedding(num_words, size)
        self.gru = nn.GRU(size, size, batch_first=True)
        self.query = nn.Linear(size, size, bias=False)
        self.join = nn.Linear(2 * size, size)
        self.score = nn.Linear(size, num_words)

    def forward(
        self, memory: Tensor, is_word: Tensor, previous_words: Tensor | None = None
    ) -> Tensor:
        """Score every word of the vocabulary, for each place of the texts.

        Args:
            memory: float (B, S, H), of an ``Encoder``.
            is_word: bool (B, S), where the memory counts.
            previous_words: int64 (B, T), the true word before each place (teacher forcing). None:
                the best word of the place before (free running), until every text has ended.

        Returns:
            Scores before softmax, float (B, T, V).
        """
        if previous_words is not None:
            return self._read(previous_words, None, memory, is_word)[0]
        words = torch.full_like(is_word[:, :1], self.start_id, dtype=torch.int64)
        ended = torch.zeros_like(words, dtype=torch.bool)
        state: Tensor | None = None
        said: list[Tensor] = []
        while len(said) < self.max_words and not ended.all():
            scores, state = self._read(words, state, memory, is_word)
            said.append(scores)
            words = scores.argmax(-1)
            ended |= words == self.end_id
        return torch.cat(said, dim=1)

    def run_inference(self, memory: Tensor, is_word: Tensor) -> Tensor:
        """The numbers of the best words, int64 (B, max_words), free running; infer.py calls this.

        After the end there are only ends. How many steps there are does not depend on the words, so
        that the graph can be exported.
        """
        words = torch.full_like(is_word[:, :1], self.start_id, dtype=torch.int64)
        state: Tensor | None = None
        said: list[Tensor] = []
        for _ in range(self.max_words):
            scores, state = self._read(words, state, memory, is_word)
            words = torch.where(words == self.end_id, self.end_id, scores.argmax(-1))
            said.append(words)
        return torch.cat(said, dim=1)

    def _read(
        self, words: Tensor, state: Tensor | None, memory: Tensor, is_word: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scores (B, T, V) of what follows each of the words (B, T), and the state (1, B, H)."""
        states, last = self.gru(self.embedding(words), state)
        context = scaled_dot_product_attention(
            self.query(states), memory, memory, attn_mask=is_word[:, None]
        )
        joined = torch.tanh(self.join(torch.cat([states, context], dim=-1)))
        return self.score(joined), last
