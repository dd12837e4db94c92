"""What lint says of a task: rules with stable names, findings with their place, one verdict a task.

How it is printed is `report`'s business; what the rules look for is in `rules/`.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that lint looks for. An error means that the task cannot run as it says.

    `is_default`: whether it is looked for when nobody chooses rules.
    """

    name: str
    severity: Severity
    finds: str
    is_default: bool = True

    def at(self, file: str | None, line: int | None, message: str, *, severity: Severity | None = None) -> "Finding":
        """A finding of this rule; `severity` where the case is worse or better than the rule's usual one."""
        return Finding(self.name, severity or self.severity, message, file, line)


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one place. `file` is relative to the task, `line` counts from 1; None where there is none."""

    rule: str
    severity: Severity
    message: str
    file: str | None
    line: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that lint found in one task. `path` is the task's directory as it was asked for."""

    path: str
    name: str | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """The findings for which the task cannot run as it says."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """The findings that do not keep the task from running."""
        return [finding for finding in self.findings if finding.severity == "warning"]

    @property
    def valid(self) -> bool:
        """Whether nothing keeps the task from running as it says."""
        return not self.errors
