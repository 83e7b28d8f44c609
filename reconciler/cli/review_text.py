"""The texts of a review: the summary of a workflow run, and the comment.

Both are Markdown in which the text of strangers is only ever code.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.core.findings import Finding
from reconciler.core.problems import Problem
from reconciler.core.proposals import ProposedPlan
from reconciler.core.types import Revision
from reconciler.report.details import code_span, cut_markdown, table_row
from reconciler.report.plan_report import plan_comment
from reconciler.report.text import counted

MOST_SUMMARY_BYTES: Final = 900_000
"""GitHub takes a mebibyte for each step."""
MOST_ROWS: Final = 200


def summary_text(findings: Sequence[Finding], plan: ProposedPlan | None, notes: Sequence[Problem]) -> str:
    """The summary of a run."""
    parts = [f"## Catwalk: {_verdict(findings)}", *_table(findings), *_notes(notes)]
    if plan is not None:
        parts.append(plan_comment(plan))
    return cut_markdown("\n\n".join(parts), most_bytes=MOST_SUMMARY_BYTES)


def comment_text(findings: Sequence[Finding], plan: ProposedPlan | None, revision: Revision) -> str:
    """The comment: the plan where there is one, else what was found."""
    heading = f"### Catwalk for {code_span(revision.short)}: {_verdict(findings)}"
    parts = [heading, *_table(findings)]
    if plan is not None:
        parts.append(plan_comment(plan))
    return "\n\n".join(parts)


def _verdict(findings: Sequence[Finding]) -> str:
    errors = sum(finding.is_error for finding in findings)
    warnings = len(findings) - errors
    told = [counted(errors, "error")] if errors else ["valid"]
    return ", ".join([*told, *([counted(warnings, "warning")] if warnings else [])])


def _table(findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        return
    rows = [table_row("where", "what", "fix"), table_row("---", "---", "---")]
    rows += [_row(finding) for finding in findings[:MOST_ROWS]]
    more = len(findings) - MOST_ROWS
    yield "\n".join(rows) + (f"\n\n_… {counted(more, 'more finding')}_" if more > 0 else "")


def _row(finding: Finding) -> str:
    problem = finding.problem
    sign = "❌" if finding.is_error else "⚠️"
    place = code_span(str(problem.location)) if problem.location else ""
    hint = code_span(problem.hint) if problem.hint else ""
    return table_row(place, f"{sign} {code_span(problem.message)} ({code_span(problem.code)})", hint)


def _notes(notes: Sequence[Problem]) -> Iterator[str]:
    if notes:
        yield "\n".join(f"- {code_span(str(note))}" for note in notes)
