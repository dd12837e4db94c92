"""A trial as critics get it, made of literal texts, and the short way to ask about one citation of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from critique.citations.checking import check_citations
from critique.citations.formats import CheckedCitation, CheckedCitations
from critique.formats.contract import CritiqueResult


def make_input(folder: Path, messages: Sequence[str], *, name: str = "trajectory.json") -> Path:
    """An input folder whose trial's main trajectory says these things, a step each."""
    agent = folder / "trial" / "agent"
    agent.mkdir(parents=True, exist_ok=True)
    steps = [
        {"step_id": number, "source": "agent", "message": message} for number, message in enumerate(messages, start=1)
    ]
    document = {"schema_version": "ATIF-v1.6", "session_id": name, "agent": {"name": "nop", "version": "1"}}
    (agent / name).write_text(json.dumps({**document, "steps": steps}))
    return folder


def make_result(*citations: dict[str, Any]) -> CritiqueResult:
    """A critique with one claim that cites all of it."""
    claims = [{"claim": "It went wrong.", "citations": list(citations)}]
    return CritiqueResult.model_validate({"rating": "bad", "feedback": "See the claims.", "claims": claims})


def check(folder: Path | None, *citations: dict[str, Any], trial: Path | None = None, **more: Any) -> CheckedCitations:
    """What the check makes of these citations, as those of one claim."""
    return check_citations(make_result(*citations), input_folder=folder, trial_directory=trial, **more)


def check_one(folder: Path | None, citation: dict[str, Any], *, trial: Path | None = None) -> CheckedCitation:
    """What the check makes of one citation."""
    [checked] = check(folder, citation, trial=trial).citations
    return checked
