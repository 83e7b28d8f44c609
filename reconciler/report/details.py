"""What a check run tells beyond a status: a summary, a longer text, and marks on lines of the manifest. Pure values.

GitHub takes 65,535 characters of each text (REST docs, "Create a check run"). They are counted here in UTF-8 bytes, the
stricter reading, and cut between lines: a cut line of Markdown may swallow the rest of the page.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MOST_BYTES: Final = 65_000
_FENCE: Final = "```"
_LONGEST_TAIL: Final = 100
"""Bytes kept for what is said about the cut."""


class AnnotationLevel(StrEnum):
    """GitHub's levels of an annotation."""

    NOTICE = "notice"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A mark on one line of a file."""

    path: str
    """From the root of the repository."""
    line: int
    message: str
    title: str = ""
    level: AnnotationLevel = AnnotationLevel.FAILURE


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDetails:
    """What stands behind the one line of a status. Made by `reconciler.report.wording`, so that no text is too long."""

    summary: str
    """Markdown."""
    text: str = ""
    """Markdown; empty for none."""
    annotations: tuple[Annotation, ...] = ()
    external_id: str = ""
    """The digest of the plan that it is about."""


def cut_markdown(text: str, *, most_bytes: int = MOST_BYTES) -> str:
    """`text` within the limit: whole lines, fences closed, and a word on what is missing."""
    if len(text.encode("utf-8")) <= most_bytes:
        return text
    lines = text.splitlines()
    kept = _first_lines(lines, most_bytes - _LONGEST_TAIL)
    fence = _open_fence(kept)
    ending = [fence] if fence else []
    return "\n".join([*kept, *ending, "", f"_… {len(lines) - len(kept)} more lines_"])


def code_span(text: str) -> str:
    """`text` shown as it is, on one line: nothing in it is Markdown, mentions a person or closes the span."""
    line = " ".join(text.split())
    fence = "`" * (_longest_run(line) + 1)
    edge = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{edge}{line}{edge}{fence}"


def code_block(text: str) -> str:
    """`text` shown as it is, on lines of its own; a fence inside does not end it."""
    fence = "`" * max(len(_FENCE), _longest_run(text) + 1)
    return f"{fence}text\n{text}\n{fence}"


def table_row(*cells: str) -> str:
    """One row of a table; a bar in a cell does not end it, also not inside a code span (GitHub Flavored Markdown)."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _first_lines(lines: list[str], most_bytes: int) -> list[str]:
    """As many lines as fit; where not even the first does, its beginning, cut between two characters."""
    used, kept = 0, list[str]()
    for line in lines:
        used += len(line.encode("utf-8")) + 1
        if used > most_bytes:
            break
        kept.append(line)
    return kept or [lines[0].encode("utf-8")[:most_bytes].decode("utf-8", errors="ignore")]


def _open_fence(lines: list[str]) -> str:
    """The fence that closes the code block that these lines leave open; empty when they leave none open."""
    opened = ""
    for line in lines:
        run = line[: len(line) - len(line.lstrip("`"))]
        if not opened and len(run) >= len(_FENCE):
            opened = run
        elif opened and len(run) >= len(opened) and not line.strip("`").strip():
            opened = ""
    return opened


def _longest_run(text: str) -> int:
    """Length of the longest run of backticks."""
    longest = current = 0
    for character in text:
        current = current + 1 if character == "`" else 0
        longest = max(longest, current)
    return longest
