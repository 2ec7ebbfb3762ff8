"""What the commands can be given."""

from torchassistant.cli.arguments.common import allowed
from torchassistant.cli.arguments.of_files import SHELLS
from torchassistant.cli.arguments.parsers import SUMMARIES, parser_of, whole_parser

__all__ = ["SHELLS", "SUMMARIES", "allowed", "parser_of", "whole_parser"]
