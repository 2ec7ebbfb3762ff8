"""Models made smaller, within a promise: what may be lost is said first, and measured."""

from torchassistant.compression.packages import without_package
from torchassistant.compression.records import Record
from torchassistant.compression.request import METHODS, Request
from torchassistant.compression.search import Found, compress

__all__ = ["METHODS", "Found", "Record", "Request", "compress", "without_package"]
