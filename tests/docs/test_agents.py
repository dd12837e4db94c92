"""docs/reference/agents.md says what the agents declare."""

from pathlib import Path

import pytest

from runs.agents.describing import AgentPage, describe_agent, list_agents
from runs.agents.installed import COMMON

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/agents.md").read_text()
SECTIONS = {section.partition("\n")[0]: section for section in PAGE.split("\n## ")[1:]}
PAGES = [describe_agent(line.name) for line in list_agents()]


def test_every_agent_is_in_the_table_with_its_tested_version() -> None:
    for line in list_agents():
        assert f"| [`{line.name}`](#{line.name}) | {line.version or '–'} |" in PAGE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_section_has_every_argument_variable_and_log(page: AgentPage) -> None:
    section = SECTIONS[page.name]
    named = [argument.name for argument in page.arguments]
    missing = [name for name in (*named, *page.variables, *page.logs, *page.packages) if f"`{name}`" not in section]
    assert not missing
    for argument in page.arguments:
        assert argument.meaning.replace("|", "\\|") in section


def test_the_common_arguments_are_told_once() -> None:
    for argument in COMMON:
        assert f"| `{argument.name}` |" in SECTIONS["Arguments of every CLI"]
