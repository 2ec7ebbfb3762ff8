"""The commands: arguments in, exit status out. Nothing heavy is imported to answer ``--help``."""

from torchassistant.cli.main import main, main_console

__all__ = ["main", "main_console"]
