"""Verdicts of lint in words for people, and as JSON for programs."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, Final, Literal

from runs.tasks.findings import Finding, Verdict

Tone = Literal["error", "warning", "good", "plain"]
Paint = Callable[[Tone, str], str]
_MAX_MESSAGE: Final = 600


def report_json(verdicts: Iterable[Verdict]) -> str:
    """All verdicts as one JSON array."""
    return json.dumps([_entry(verdict) for verdict in verdicts], indent=2)


def report_block(verdict: Verdict, paint: Paint) -> str:
    """One verdict as a block of lines."""
    state = paint("good", "valid") if verdict.valid else paint("error", "invalid")
    name = f" ({printable(verdict.name)})" if verdict.name else ""
    lines = [f"{printable(verdict.path)}{name}: {state}"]
    for finding in (*verdict.errors, *verdict.warnings):
        label = paint(finding.severity, finding.severity)
        lines.append(f"  {label} {finding.rule}: {_place(finding)}{printable(finding.message)}")
    return "\n".join(lines)


def report_sum(verdicts: list[Verdict]) -> str:
    """The closing line."""
    invalid = sum(not verdict.valid for verdict in verdicts)
    errors = sum(len(verdict.errors) for verdict in verdicts)
    warnings = sum(len(verdict.warnings) for verdict in verdicts)
    tasks = f"{len(verdicts)} task{'' if len(verdicts) == 1 else 's'}"
    counts = f"{errors} error{'' if errors == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"
    return f"{tasks}, {invalid} invalid: {counts}"


def printable(text: str) -> str:
    """Text of a task for a terminal: control characters written out, and of a very long text the beginning."""
    cut = text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def _place(finding: Finding) -> str:
    if finding.file is None or (finding.line is None and finding.message.startswith(finding.file)):
        return ""
    line = f":{finding.line}" if finding.line else ""
    return f"{printable(finding.file)}{line}: "


def _entry(verdict: Verdict) -> dict[str, Any]:
    return {
        "path": verdict.path,
        "name": verdict.name,
        "valid": verdict.valid,
        "errors": [_said(finding) for finding in verdict.errors],
        "warnings": [_said(finding) for finding in verdict.warnings],
    }


def _said(finding: Finding) -> dict[str, Any]:
    said = asdict(finding)
    del said["severity"]
    return said
