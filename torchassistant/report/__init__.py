"""Sessions as one page to look at: read without torch, drawn by the browser, in a single file."""

from torchassistant.report.content import Report, as_json, expanded, read_report
from torchassistant.report.following import follow
from torchassistant.report.page import expect_place, page_of, write_page
from torchassistant.report.pictures import draw_pictures

__all__ = [
    "Report",
    "as_json",
    "draw_pictures",
    "expanded",
    "expect_place",
    "follow",
    "page_of",
    "read_report",
    "write_page",
]
