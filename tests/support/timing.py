"""A pytest plugin: how many tests of each kind ran and how long they took, summed over all xdist workers.

What a test records as the property `note` is printed too: a worker's own output is lost under xdist.
"""

from collections import defaultdict
from collections.abc import Iterable

import pytest

KINDS = ("docker", "browser", "postgres", "corpora", "peers", "agents", "agents_all")
UNIT = "unit"
PROPERTY = "kind"
NOTE = "note"


def kind_of(marker_names: Iterable[str]) -> str:
    """The kind of a test: its first marker in the order of KINDS, or unit."""
    names = set(marker_names)
    return next((kind for kind in KINDS if kind in names), UNIT)


class KindTimes:
    """Adds up what reports tell; under xdist only the controller's numbers are whole."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.tests: dict[str, int] = defaultdict(int)
        self.notes: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Write the kind into the report: it travels from the worker to the controller with it."""
        item.user_properties.append((PROPERTY, kind_of(mark.name for mark in item.iter_markers())))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the time of one phase of one test."""
        properties = dict(report.user_properties)
        kind = str(properties.get(PROPERTY, UNIT))
        if report.when == "teardown" and NOTE in properties:
            self.notes.append(str(properties[NOTE]))
        self.seconds[kind] += report.duration
        self.tests[kind] += report.when == "call"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the notes, and a line a kind."""
        for note in self.notes:
            terminalreporter.write_line(note)
        terminalreporter.section("time of each kind, summed over workers")
        for kind in (UNIT, *KINDS):
            if kind in self.seconds:
                terminalreporter.write_line(f"{kind:>10}: {self.tests[kind]:5d} tests {self.seconds[kind]:8.1f} s")


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin on the controller and on each worker."""
    config.pluginmanager.register(KindTimes(), "kind-times")
