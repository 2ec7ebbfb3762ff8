"""Under what a session runs: versions, device, threads; and what has changed since it was saved."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import Any

import torch

ENVIRONMENT = "environment.json"
"""The file of a session that holds it as it was at creation; trainers lock it."""

_PACKAGES = ("torchassistant", "torch", "torchvision", "torchmetrics", "numpy", "safetensors")


def created(seed: int, device: torch.device) -> dict[str, Any]:
    """When, by which command and from which code a session was created, and under what."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [_text(word) for word in sys.argv],
        "working_directory": _text(os.getcwd()),
        "git_commit": _git_commit(),
        "seed": seed,
        "platform": platform.platform(),
        **circumstances(device),
    }


def circumstances(device: torch.device) -> dict[str, Any]:
    """What the bits of a result may depend on, beside the config, the code and the data."""
    backends = torch.backends
    return {
        **_installed(),
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_deterministic": backends.cudnn.deterministic,
        "cudnn_benchmark": backends.cudnn.benchmark,
    }


@cache
def _installed() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What is not as it was when a state was saved, each as ``threads: 2 then, 1 now``."""
    for key in now:
        if isinstance(now[key], dict):
            was = then.get(key)
            yield from differences(was if isinstance(was, dict) else {}, now[key])
        elif then.get(key) != now[key]:
            yield f"{key.replace('_', ' ')}: {then.get(key)} then, {now[key]} now"


def same_versions(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether Python and the libraries are what they were when a state was saved."""
    return all(then.get(key) == now[key] for key in ("python", "packages"))


def _text(words: str) -> str:
    """What the system gave, as text: bytes that are none are written as Python writes them."""
    return words.encode(errors="backslashreplace").decode()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the user's own code, where the working directory is under git."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
