"""docs/reference/commands.md names every option of every command of ours."""

from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "commands.md").read_text()
OURS = sorted((name, app) for name, app in get_commands().items() if app in {"runs", "viewer", "critique"})
DJANGOS = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color"}
DJANGOS |= {"--force-color", "--skip-checks"}


def options_of(name: str, app: str) -> set[str]:
    """All long options of a command, those of its subcommands too."""
    found: set[str] = set()
    parsers = [load_command_class(app, name).create_parser("manage.py", name)]
    while parsers:
        for action in parsers.pop()._actions:
            found.update(option for option in action.option_strings if option.startswith("--"))
            if isinstance(action.choices, dict):
                parsers += action.choices.values()
    return found - DJANGOS


@pytest.mark.parametrize(("name", "app"), OURS)
def test_the_page_has_a_section_with_every_option(name: str, app: str) -> None:
    assert f"## {name}" in PAGE
    missing = {option for option in options_of(name, app) if f"`{option}`" not in PAGE}
    assert not missing
