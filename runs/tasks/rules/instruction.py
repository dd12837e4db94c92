"""Rules on what the agent is told."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runs.tasks.findings import Finding, Rule
from runs.tasks.sources import TaskSources

EMPTY: Final = Rule("empty-instruction", "warning", "an instruction that tells nothing")
NAMES_TESTS: Final = Rule("instruction-names-tests", "warning", "an instruction that names the hidden folders")

RULES: Final = (EMPTY, NAMES_TESTS)

_HIDDEN: Final = re.compile(r"(?<![\w./~}-])/(?:tests|solution|logs/verifier)(?![\w-])")


def check_instruction(sources: TaskSources) -> Iterator[Finding]:
    """The task's instruction, or those of its steps."""
    for folder in [step.directory for step in sources.task.steps] or [sources.task.path]:
        path: Path = folder / "instruction.md"
        text = sources.text(path)
        if text is None:
            continue
        if not text.strip():
            yield EMPTY.at(sources.relative(path), None, "the instruction is empty")
        found = _HIDDEN.search(text)
        if found:
            line = text.count("\n", 0, found.start()) + 1
            message = f"the instruction names {found[0]}, which the agent never sees and should not look for"
            yield NAMES_TESTS.at(sources.relative(path), line, message)


CHECKS: Final = (check_instruction,)
