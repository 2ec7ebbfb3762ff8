"""Which packages a format needs, and how to get them."""

from __future__ import annotations

from importlib.util import find_spec

from torchassistant.errors import ConfigError

ONNX = ("onnx", "onnxscript", "onnxruntime")


def expect_packages(names: tuple[str, ...]) -> None:
    """Expect packages to be installed; nothing is imported.

    Raises:
        ConfigError: One is missing.
    """
    for name in names:
        found = find_spec(name)
        # A folder of that name is no package.
        if found is None or found.origin is None:
            raise ConfigError(
                f'the package "{name}" is not installed; '
                'pip install "torchassistant[export]" installs it'
            )
