"""Which names may be used for files, on every system."""

from __future__ import annotations

import hashlib
import unicodedata
from urllib.parse import quote

_RESERVED = {"con", "prn", "aux", "nul"} | {f"{p}{n}" for p in ("com", "lpt") for n in range(1, 10)}
_FORBIDDEN = set('/\\:*?"<>|')


def why_unsafe(name: str) -> str | None:
    """Why a name cannot be a file's name, or None where it can."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return "it holds a control character"
    found = sorted(_FORBIDDEN & set(name))
    if found:
        return f"it holds {found[0]!r}"
    if name.strip(". ") != name:
        return "it begins or ends with a dot or a blank"
    if name.split(".")[0].lower() in _RESERVED:
        return "some systems reserve it"
    if len(name.encode()) > 200:
        return "it is longer than 200 bytes"
    return None


def as_file_name(text: str) -> str:
    """A text as a file's name: what no name may hold is written as in addresses, as ``%2F``.

    Different texts have different names. One that is no name even so is a digest of the text.
    """
    forbidden = _FORBIDDEN | {"%"}
    name = "".join(quote(c, safe="") if c in forbidden else c for c in text)
    return name if why_unsafe(name) is None else hashlib.sha256(text.encode()).hexdigest()


def folded(name: str) -> str:
    """The form under which some file system may take two names for one."""
    return unicodedata.normalize("NFC", name).casefold()
