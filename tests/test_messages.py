"""The library's messages go through logging; the commands print them, a line each."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from torchassistant.cli.log_handler import messages_on_stderr
from torchassistant.messages import logger_for

ROOT = Path(__file__).resolve().parent.parent

LOGGING = """
import logging
from torchassistant.messages import logger_for
{before}
log = logger_for("torchassistant.data.lengths")
log.info("fetching")
log.warning("a line\\nand \\x1b[2J one more: 100%s")
log.error("not saved")
"""


def printed(before: str) -> list[str]:
    """What a Python program shows on standard error."""
    code = LOGGING.format(before=before)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


LINE = "a line\\nand \\x1b[2J one more: 100%s"


def test_a_program_shows_warnings_and_errors() -> None:
    assert printed("") == [LINE, "not saved"]


def test_a_program_may_choose_what_is_shown_and_how() -> None:
    shown = "logging.basicConfig(level='INFO', format='%(levelname)s %(name)s: %(message)s')"
    assert printed(shown) == [
        "INFO torchassistant.data.lengths: fetching",
        f"WARNING torchassistant.data.lengths: {LINE}",
        "ERROR torchassistant.data.lengths: not saved",
    ]
    assert printed("logging.getLogger('torchassistant').setLevel('ERROR')") == ["not saved"]


SILENCED = {
    "dictConfig": "logging.config.dictConfig({'version': 1})",
    "disable": "logging.disable(logging.CRITICAL)",
    "setLevel": "logging.getLogger('torchassistant').setLevel(logging.CRITICAL)",
}


@pytest.mark.parametrize("how", SILENCED)
def test_code_of_the_user_does_not_silence_a_command(how: str) -> None:
    command = f"""
import logging.config
from torchassistant.cli.log_handler import messages_on_stderr
shown = messages_on_stderr()
shown.__enter__()
logger_for("torchassistant.data.cached_dataset").warning("read")
{SILENCED[how]}
logger_for("torchassistant.data.cached_dataset").warning("not cached")
"""
    first = ["warning: read", "warning: not cached"]
    assert printed(command) == [*first, "fetching", f"warning: {LINE}", "error: not saved"]


def test_commands_print_each_message_once(capsys: pytest.CaptureFixture[str]) -> None:
    log, seen = logger_for("torchassistant.session.load"), logging.StreamHandler()
    logging.getLogger().addHandler(seen)
    try:
        with messages_on_stderr(), messages_on_stderr():
            log.info("fetching")
            log.warning("a line\nand one more")
            log.error("not saved")
    finally:
        logging.getLogger().removeHandler(seen)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "fetching\nwarning: a line\\nand one more\nerror: not saved\n"
