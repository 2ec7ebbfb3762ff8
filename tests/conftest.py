"""What holds for all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings
from warm_commands import WarmCommands

from torchassistant.cli.log_handler import messages_on_stderr
from torchassistant.compat.python import settings_of_children
from torchassistant.lateimports import Folder, LastResort

# How long an example takes is the machine's affair: a busy one would fail what is right.
settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="module")
def _imports() -> Iterator[None]:
    """A command that runs in this process takes the working directory off Python's path."""
    path, to_children = sys.path[:], dict(settings_of_children())
    yield
    sys.path[:] = path
    # Libraries have finders of their own.
    ours = (Folder, LastResort)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, ours)]
    settings_of_children().clear()
    settings_of_children().update(to_children)


@pytest.fixture(autouse=True)
def _messages() -> Iterator[None]:
    """Messages are printed as the commands print them; pytest would take them for itself."""
    with messages_on_stderr():
        yield


@pytest.fixture(autouse=True, scope="session")
def _forks_can_compute() -> None:
    """Run a backward pass before anything is exported, where there is no GPU.

    An export lets torch take it that there is one; the first backward pass after that would start
    threads for it, and torch computes no gradient in a process that is forked beside them.
    """
    torch.ones((), requires_grad=True).backward()


@pytest.fixture(scope="session")
def warm_commands() -> Iterator[WarmCommands]:
    """Runs commands in processes of their own that need not import torch."""
    commands = WarmCommands()
    yield commands
    commands.close()


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of sessions are written here; power failures are tested in other processes."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing beyond this machine answers, whatever proxies the machine has."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
