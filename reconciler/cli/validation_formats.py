"""The findings of `catwalk validate` for people, programs, GitHub's log, and code scanning.

`github` writes workflow commands (GitHub docs, "Workflow commands for GitHub Actions"); `sarif` a SARIF 2.1.0 log
(OASIS).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from reconciler.core.findings import Finding
from reconciler.core.problems import Problem

SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def as_text(findings: Sequence[Finding]) -> str:
    """`file:line:column: error: message [code]`, and a last line that counts."""
    lines = [_text_line(finding) for finding in findings]
    errors = sum(finding.is_error for finding in findings)
    return "\n".join([*lines, f"{_count(errors, 'error')}, {_count(len(findings) - errors, 'warning')}"])


def as_json(findings: Sequence[Finding]) -> str:
    """`{"valid": …, "findings": [{"severity": …, "code": …, "message": …, "file": …, "line": …, "column": …}]}`."""
    valid = not any(finding.is_error for finding in findings)
    records = [{"severity": _severity(finding), **_record(finding.problem)} for finding in findings]
    return json.dumps({"valid": valid, "findings": records}, indent=2, ensure_ascii=False)


def as_github(findings: Sequence[Finding]) -> str:
    """One annotation a line."""
    return "\n".join(_annotation(finding) for finding in findings)


def as_sarif(findings: Sequence[Finding]) -> str:
    """A SARIF log with one run."""
    rules = sorted({finding.problem.code for finding in findings})
    driver = {"name": "catwalk", "rules": [{"id": rule} for rule in rules]}
    run = {"tool": {"driver": driver}, "results": [_result(finding) for finding in findings]}
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


FORMATS: Final[Mapping[str, Callable[[Sequence[Finding]], str]]] = {
    "text": as_text,
    "json": as_json,
    "github": as_github,
    "sarif": as_sarif,
}


def _severity(finding: Finding) -> str:
    return "error" if finding.is_error else "warning"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _record(problem: Problem) -> dict[str, object]:
    """The fields of the API's problem document. Its models cost a third of the command's start, and are not loaded."""
    place = problem.location
    return {
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
        "remedy": problem.remedy.value,
        "server": problem.server,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
    }


def _text_line(finding: Finding) -> str:
    problem = finding.problem
    place = f"{problem.location}: " if problem.location else ""
    hint = f"\n  fix: {problem.hint}" if problem.hint else ""
    return f"{place}{_severity(finding)}: {problem.message} [{problem.code}]{hint}"


def _annotation(finding: Finding) -> str:
    problem = finding.problem
    place = problem.location
    where = f"file={_property(place.file)},line={place.line},col={place.column}," if place else ""
    message = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    return f"::{_severity(finding)} {where}title={_property(problem.code)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _result(finding: Finding) -> dict[str, object]:
    problem = finding.problem
    text = f"{problem.message}. {problem.hint}" if problem.hint else problem.message
    result: dict[str, object] = {
        "ruleId": problem.code,
        "level": _severity(finding),
        "message": {"text": text},
        "partialFingerprints": {"catwalk/v1": f"{problem.code}:{problem.server}"},
    }
    if problem.location:
        region = {"startLine": problem.location.line, "startColumn": problem.location.column}
        place = {"artifactLocation": {"uri": problem.location.file}, "region": region}
        result["locations"] = [{"physicalLocation": place}]
    return result
