"""Where files may be written that a config names, and how they are opened.

A config may come from anywhere. What it names is written below the working directory or the session
folder, and elsewhere only where the person at the command line allows it; never through a link,
never under a name that Python, a shell or the like runs or reads its settings from, and never into
a file that was not made here.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NamedTuple

from torchassistant.errors import DataError, UserError, listing, shown_path
from torchassistant.whole_files import make_folder, naming

_OF_CODE = re.compile(
    r"site-packages|dist-packages|node_modules|__pycache__|.*\.(dist|egg)-info", re.IGNORECASE
)
"""Folders in which programs look for code."""

_RUN = re.compile(
    r"cmakelists\.txt|entry_points\.txt|conanfile\.txt|meson[._]options\.txt"
    r"|.*(requirements|constraints).*\.txt"
    # of package managers and what builds, tests and lints
    r"|(package|package-lock|composer|deno|bower|lerna|nx|project|workspace|angular|turbo|rush)\.json"
    r"|(nodemon|tsconfig.*|jsconfig|tslint|.*\.?config|cmake.*presets)\.json"
    # of notebooks, infrastructure and what deploys
    r"|(jupyter_.*|cdk|sam|packer|buildspec)\.json"
    r"|(firebase|vercel|now|netlify|serverless|vcpkg)\.json"
    r"|.*\.(tf|tfvars|pkr|pkrvars|code-workspace)\.json",
    re.IGNORECASE,
)
"""Files by which programs build or install something, though they have the suffix of data."""


class Writing:
    """Where a config may have files written.

    Args:
        root: The working directory.
        allowed: Folders that the person at the command line allows beyond it; absolute.
        session: The session folder, where there is one.
    """

    def __init__(
        self, root: str, allowed: Iterable[str] = (), session: str | Path | None = None
    ) -> None:
        self.root = os.path.realpath(root)
        self.allowed = tuple(allowed)
        self.session = None if session is None else os.path.join(self.root, session)

    def beside(self, session: str | Path | None) -> Writing:
        """The same, with a session folder."""
        return Writing(self.root, self.allowed, session)

    def place(self, path: str | Path, is_folder: bool = False) -> Place:
        """What a path of the config means, where something may be written there.

        Args:
            path: A file or a folder; relative to the working directory. ``..`` is taken away
                before links are looked at.
            is_folder: Which of the two it is, for what the message tells to allow.

        Raises:
            UserError: It lies elsewhere, or a link leads there.
        """
        given = json.dumps(str(path), ensure_ascii=False)
        if "\0" in str(path):
            raise UserError(f"{given} is not a path")
        whole = os.path.normpath(os.path.join(self.root, path))
        for folder, is_allowed in self._grounds():
            steps = _steps_below(folder, whole)
            if steps is not None:
                place = Place(os.path.realpath(folder), steps, given, is_allowed)
                place.refuse_links()
                return place
        allows = whole if is_folder else os.path.dirname(whole)
        raise UserError(
            f"{given} lies neither below the working directory nor below the session folder; "
            f"--allow-write {allows} on the command line allows it"
        )

    def folder(self, path: str | Path) -> Place:
        """A folder into which a config may have files written; it need not be there.

        Raises:
            UserError: It may not; the sentence says what would do.
        """
        return self._sound(self.place(path, is_folder=True))

    def _sound(self, place: Place) -> Place:
        place.refuse_names()
        self._refuse_parts_of_sessions(place)
        return place

    def file(self, path: str | Path, suffixes: Sequence[str]) -> Place:
        """A file that a config may have made, or appended to; it need not be there.

        Args:
            path: Where it is.
            suffixes: How its name may end.

        Raises:
            UserError: It may not; or it is there, and was not made here.
        """
        place = self._sound(self.place(path))
        if not place.steps or not place.steps[-1].lower().endswith(tuple(suffixes)):
            raise UserError(
                f"{place.given} may not be written: the name of the file has to end in "
                f"{listing(suffixes)}"
            )
        if _RUN.fullmatch(place.steps[-1]):
            raise UserError(f"{place.given} may not be written: programs read files of this name")
        place.expect_own()
        return place

    def expect_session(self, path: str | Path) -> None:
        """See that a config may have a new session made somewhere.

        A session is a new folder, and its files have names of ours, which nothing runs. So it may
        be anywhere but among the settings of programs, and where they look for code.

        Raises:
            UserError: It is to be there.
        """
        whole = os.path.normpath(os.path.join(self.root, path))
        if any(_steps_below(f, whole) is not None for f in (self.root, *self.allowed)):
            return
        try:
            Place(os.sep, tuple(whole.strip(os.sep).split(os.sep)), f'"{path}"').refuse_names()
        except UserError as error:
            allow = f"--allow-write {os.path.dirname(whole)} on the command line allows it"
            raise UserError(f"{error}; {allow}") from None

    def _grounds(self) -> Iterator[tuple[str, bool]]:
        """Folders below which may be written, and whether the person allowed them."""
        yield from ((folder, True) for folder in self.allowed)
        if self.session is not None:
            yield self.session, False
        yield self.root, False

    def _refuse_parts_of_sessions(self, place: Place) -> None:
        from torchassistant.config import SESSION_PARTS, is_session

        whole = Path(place.path)
        for folder, part in zip(whole.parents, (whole, *whole.parents), strict=False):
            is_one = self.session is not None and str(folder) == os.path.realpath(self.session)
            if part.name in SESSION_PARTS and (is_one or is_session(folder)):
                raise UserError(
                    f"{place.given} may not be written: {part.name} of the session "
                    f"{shown_path(folder)} is written by training alone"
                )


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere a config may have something written.

    Args:
        root: The folder that is allowed, without links.
        steps: The names from there on; no link may stand under one.
        given: As the config has it, in quotes, for messages.
        is_allowed: Whether the person at the command line allowed the folder by name.
    """

    root: str
    steps: tuple[str, ...]
    given: str
    is_allowed: bool = False

    @property
    def path(self) -> str:
        """The absolute path."""
        return os.path.join(self.root, *self.steps)

    def refuse_links(self) -> None:
        """See that no link stands below the root.

        Raises:
            UserError: There is one.
        """
        at = self.root
        for step in self.steps:
            at = os.path.join(at, step)
            if os.path.islink(at):
                raise self._link(at)

    def refuse_names(self) -> None:
        """See that no name on the way is one of programs, their settings or their options.

        Raises:
            UserError: There is one.
        """
        for step in self.steps:
            why = _harm_in(step)
            if why is not None:
                raise UserError(f"{self.given} may not be written: {step!r} {why}")

    def expect_own(self, content: Content | None = None) -> None:
        """See that the file is not there, or was made here.

        Args:
            content: What a file that was not made here has to hold; None: JSON lines.

        Raises:
            UserError: It was not.
        """
        try:
            found = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        self._expect_plain(found)
        handle = os.open(self.path, os.O_RDONLY | _SAFELY)
        try:
            self._expect_made_here(handle, content or JSON_LINES)
        finally:
            os.close(handle)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """The folder, open; whatever of it is missing is made.

        Raises:
            UserError: A link, or a file, stands in the way.
            NotWritten: It cannot be made.
        """
        with naming(Path(self.path)):
            make_folder(Path(self.root))
            handle = os.open(self.root, _FOLDER)
        try:
            with naming(Path(self.path)):
                for index, step in enumerate(self.steps):
                    outer, handle = handle, self._entered(handle, step, index)
                    os.close(outer)
            yield handle
        finally:
            os.close(handle)

    def _entered(self, folder: int, step: str, index: int) -> int:
        try:
            try:
                return os.open(step, _FOLDER, dir_fd=folder)
            except FileNotFoundError:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(step, dir_fd=folder)
                return os.open(step, _FOLDER, dir_fd=folder)
        except OSError as error:
            at = os.path.join(self.root, *self.steps[: index + 1])
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise self._link(at) from None
            error.filename = at  # in place of the name in the open folder
            raise

    @contextmanager
    def appending(self, content: Content | None = None) -> Iterator[int]:
        """The file, open to append to it; it and its folder are made where they are missing.

        Args:
            content: What a file that was not made here has to hold; None: JSON lines.

        Raises:
            UserError: What is there is no regular file, has another owner or other names, or was
                not made here.
            OSError: It cannot be opened.
        """
        *_, name = self.steps
        with replace(self, steps=self.steps[:-1]).opened() as folder:
            handle = self._file_in(folder, name, content or JSON_LINES)
        try:
            yield handle
        finally:
            os.close(handle)

    def _file_in(self, folder: int, name: str, content: Content) -> int:
        try:
            handle = new_file(folder, name)
        except FileExistsError:
            pass
        else:
            mark(handle)
            return handle
        # Asked before it is opened, because opening alone can do something to a device.
        self._expect_plain(os.stat(name, dir_fd=folder, follow_symlinks=False))
        handle = os.open(name, os.O_RDWR | os.O_APPEND | _SAFELY, dir_fd=folder)
        try:
            self._expect_plain(os.fstat(handle))
            self._expect_made_here(handle, content)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _expect_plain(self, found: os.stat_result) -> None:
        if stat.S_ISLNK(found.st_mode):
            raise self._link(self.path)
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"{self.given} may not be written: it exists, and is not a plain file")
        if found.st_uid != os.geteuid() or found.st_nlink > 1:
            whose = "has other names too" if found.st_nlink > 1 else "is somebody else's"
            raise UserError(f"{self.given} may not be written: the file is there, and {whose}")

    def _expect_made_here(self, handle: int, content: Content) -> None:
        marked = _is_marked(handle)
        if marked or ((self.is_allowed or marked is None) and content.is_in(handle)):
            return
        hint = (
            f"it does not hold {content.what}"
            if self.is_allowed
            else f"--allow-write {os.path.dirname(self.path)} on the command line allows it where "
            f"it holds {content.what}"
        )
        raise UserError(
            f"{self.given} may not be appended to: the file is there, and was not made by this "
            f"program; name another one ({hint})"
        )

    def _link(self, link: str) -> UserError:
        if not os.path.islink(link):
            return UserError(f"{self.given} may not be written: {shown_path(link)} is not a folder")
        leads_to = os.path.realpath(link)
        return UserError(
            f"{self.given} may not be written: {os.path.relpath(link, self.root)} is a link, and "
            f"links are not followed; --allow-write {leads_to} on the command line allows the "
            "folder that it leads to"
            if os.path.isdir(link)
            else f"{self.given} may not be written: it is a link, and links are not followed"
        )


def refuse_links_below(folder: str) -> None:
    """See that no link stands anywhere in a folder, for what opens files of it by their paths.

    Raises:
        UserError: There is one.
    """
    for inside, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if os.path.islink(os.path.join(inside, name)):
                path = shown_path(os.path.join(inside, name))
                raise UserError(f"{path} is a link, and links are not followed")


class WritesFiles:
    """What writes files where its arguments say. In Python it writes where the user likes.

    A config may come from anywhere: what it names is told by :meth:`keep_to` where it may write.
    """

    names_place: ClassVar[str]
    """The parameter that says where."""

    place: Place | None = None
    """Where alone it writes; None where it may write anywhere."""

    def keep_to(self, writing: Writing) -> None:
        """Write there only from now on.

        Raises:
            UserError: What it is to write does not lie there.
        """
        raise NotImplementedError


def new_file(folder: int, name: str) -> int:
    """A new file in an open folder, open to append to it.

    Raises:
        FileExistsError: There is something of this name.
        OSError: It cannot be made; the folder's path is known to whoever has opened it.
    """
    made = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, made, 0o666, dir_fd=folder)
    except OSError as error:
        error.filename = None  # which would be taken for one in the working directory
        raise


def mark(handle: int) -> None:
    """Note of an open file, beside its data, that this program has made it."""
    if hasattr(os, "setxattr"):
        with contextlib.suppress(OSError):
            os.setxattr(handle, _MARK, b"1")


def _is_marked(handle: int) -> bool | None:
    """Whether this program has made an open file; None where the file system cannot tell."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        return bool(os.getxattr(handle, _MARK))
    except OSError as error:
        return None if error.errno == errno.ENOTSUP else False


_MARK = "user.torchassistant.made"
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _holds_json_lines(handle: int) -> bool:
    """Whether the first and the last line of an open file are JSON objects, as we write them."""
    size = os.fstat(handle).st_size
    head = os.pread(handle, _LOOKED_AT, 0).split(b"\n")
    tail = os.pread(handle, _LOOKED_AT, max(0, size - _LOOKED_AT)).split(b"\n")
    return len(head) > 1 and tail[-1] == b"" and all(map(_is_object, (head[0], tail[-2])))


class Content(NamedTuple):
    """What a file of one kind holds.

    Args:
        what: For messages.
        is_in: Whether an open file does.
    """

    what: str
    is_in: Callable[[int], bool]


JSON_LINES = Content("JSON lines", _holds_json_lines)
SQLITE = Content(
    "an SQLite database", lambda handle: os.pread(handle, 16, 0) in (b"", b"SQLite format 3\0")
)

_LOOKED_AT = 1 << 20


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _steps_below(folder: str, path: str) -> tuple[str, ...] | None:
    """The names from a folder to a path that lies in it, whatever links lead to the folder."""
    real = os.path.realpath(folder)
    names = path.strip(os.sep).split(os.sep)
    for index in range(len(names) + 1):
        if os.path.realpath(os.path.join(os.sep, *names[:index])) == real:
            return tuple(name for name in names[index:] if name)
    return None


def _harm_in(name: str) -> str | None:
    """Why nothing of this name may be written; None where it may."""
    if name.startswith("."):
        return "is hidden, as settings of programs are"
    if name.startswith(("-", "~")):
        return "means something to a shell"
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return "holds control characters"
    return "is where programs look for code" if _OF_CODE.fullmatch(name) else None


def safe_in_file_names(key: str) -> str:
    """A key as part of a file name: what may mean something to a file system becomes ``_``."""
    return re.sub(r"[^\w.+=-]", "_", str(key))


def expect_folder_name(name: str) -> None:
    """See that a name is that of one folder, and does not lead elsewhere.

    Raises:
        DataError: It is not.
    """
    if Path(name).name != name or name == "..":
        raise DataError(f'"{name}" cannot be the name of a folder')
