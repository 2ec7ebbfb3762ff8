"""Whether a profiler of torch is on."""

from __future__ import annotations

from collections.abc import Callable

import torch


def profiler_check() -> Callable[[], bool]:
    """A function that says whether a profiler is on; to be looked up once, and called often.

    Private: ``torch.autograd._profiler_enabled``, in torch 2.10 to 2.14; nothing public says so.

    Without it: one that says yes, so that what is made for a profiler is always made.
    """
    found: Callable[[], bool] = getattr(torch.autograd, "_profiler_enabled", _always)
    return found


def _always() -> bool:
    return True
