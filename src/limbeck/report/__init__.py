"""Report -> terminal table, Markdown, one self-contained HTML page. Pure functions: no model, no network."""

from limbeck.report.markdown import markdown
from limbeck.report.page import page
from limbeck.report.terminal import terminal

__all__ = ["markdown", "page", "terminal"]
