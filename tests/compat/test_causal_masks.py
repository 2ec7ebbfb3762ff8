"""torch's transformers still ask what is replaced whether a mask is causal."""

from __future__ import annotations

import torch
from torch import nn

from torchassistant.compat.causal_masks import causal_where_said


def test_a_mask_is_causal_only_where_it_is_said() -> None:
    module = nn.modules.transformer
    before = vars(module)["_detect_is_causal_mask"]
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    assert before(mask, None, 3) is True
    with causal_where_said():
        asked = vars(module)["_detect_is_causal_mask"]
        assert asked(mask, None, 3) is False
        assert asked(mask, True, 3) is True
        layer = nn.TransformerDecoderLayer(4, 2, 8, batch_first=True)
        net, x = nn.TransformerDecoder(layer, 1).eval(), torch.randn(2, 3, 4)
        found = net(x, x, tgt_mask=mask)
    assert vars(module)["_detect_is_causal_mask"] is before
    torch.testing.assert_close(found, net(x, x, tgt_mask=mask))
