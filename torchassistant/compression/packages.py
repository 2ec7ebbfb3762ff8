"""Which packages the methods need, and how to get them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from torchassistant.errors import ConfigError

NEEDED = {
    "int8-dynamic": ("torchao", "torchao"),
    "int8-static": ("torchao", "torchao"),
    "prune": ("torch_pruning", "torch-pruning"),
}
"""For methods: the module that they import, and its package."""


def without_package(methods: Sequence[str]) -> dict[str, str]:
    """The methods whose package is not installed, each with that; nothing is imported."""
    return {
        method: NEEDED[method][1]
        for method in methods
        if method in NEEDED and not _is_installed(NEEDED[method][0])
    }


def expect_packages(methods: Sequence[str]) -> None:
    """Expect the packages of methods to be installed.

    Raises:
        ConfigError: One is missing.
    """
    for method, package in without_package(methods).items():
        raise ConfigError(
            f'the method "{method}" needs the package "{package}", which is not installed; '
            'pip install "torchassistant[compress]" installs it'
        )


def _is_installed(module: str) -> bool:
    found = find_spec(module)
    # A folder of that name is no package.
    return found is not None and found.origin is not None
