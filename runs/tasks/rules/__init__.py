"""Every rule of lint, and the functions that look for them: one module a noun.

A check takes the sources of a task that loads and gives findings; it opens files through them only and runs nothing.
"""

from collections.abc import Callable, Iterable
from typing import Final

from runs.tasks.findings import Finding, Rule
from runs.tasks.rules import artifacts, compose, configuration, hidden, images, instruction, packages, support, verifier
from runs.tasks.sources import TaskSources

Check = Callable[[TaskSources], Iterable[Finding]]

_MODULES: Final = (configuration, support, images, packages, hidden, verifier, artifacts, compose, instruction)

RULES: Final[dict[str, Rule]] = {rule.name: rule for module in _MODULES for rule in module.RULES}
CHECKS: Final[tuple[Check, ...]] = tuple(check for module in _MODULES for check in module.CHECKS)
