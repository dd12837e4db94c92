"""`manage.py pieragent`: the list of agents, and one of them with all that it declares."""

import json

import pytest
from django.core.management import call_command

from runs.agents.registry import AGENTS


def pieragent(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and complaints."""
    with pytest.raises(SystemExit) as exit_:
        call_command("pieragent", *arguments)
    return int(exit_.value.code or 0), *capsys.readouterr()


def test_every_agent_is_listed_with_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = pieragent(capsys, "list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == sorted(AGENTS)
    assert "codex            0.169.0    Codex CLI (OpenAI)\n" in out
    listed = json.loads(pieragent(capsys, "list", "--json")[1])
    assert [line["name"] for line in listed] == sorted(AGENTS)


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_an_agent_is_shown_with_all_it_declares(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, err = pieragent(capsys, "show", name)
    assert (code, err) == (0, "")
    shown = json.loads(pieragent(capsys, "show", name, "--json")[1])
    assert shown["name"] == name
    for argument in (*shown["arguments"], *shown["common_arguments"]):
        assert argument["name"] in out
    for word in (*shown["variables"], *shown["packages"], *shown["hosts"], *shown["logs"]):
        assert word in out


def test_an_agent_that_there_is_not_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = pieragent(capsys, "show", "codx")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "codex" in err
