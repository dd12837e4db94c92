"""Critique runs written here are valid for pier's own models of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.venvs import PEERS, ROOT, Peer, installed
from tests.support.critics import GOOD, flags, prompt_file, writes

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def pier() -> Peer:
    """The one peer that has critiques."""
    return installed(PEERS[0])


@pytest.fixture(scope="module")
def run(jobs: Path) -> Path:
    """A run over some trials, with a critic that failed among them."""
    env = {**os.environ, "PIER_DATA_DIR": str(jobs.parent / "var")}
    env.pop("DATABASE_URL", None)
    command = f"grep -q silent /task/instruction.md && exit 3\n{writes(GOOD)}"
    prompt = prompt_file(jobs.parent)
    arguments = [str(jobs / "host-job"), "-p", str(prompt), *flags(command), "--name", "one", "-y", "-e", "host"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "piercritique", *arguments], env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    return jobs / "host-job/.critiques/one"


def test_every_file_of_a_critique_run_satisfies_piers_models(pier: Peer, run: Path) -> None:
    items = sorted(path.parent for path in run.glob("*/critique-metadata.json"))
    assert len(items) >= 4
    models = {
        "config.json": "critique.models:CritiqueConfig",
        "result.json": "critique.models:CritiqueJobResult",
        **{f"{item.name}/critique-config.json": "critique.models:CritiqueConfig" for item in items},
        **{f"{item.name}/critique-metadata.json": "critique.models:CritiqueItemResult" for item in items},
        **{f"{item.name}/config.json": "models.trial.config:TrialConfig" for item in items},
        **{f"{item.name}/result.json": "models.trial.result:TrialResult" for item in items},
    }
    answers = pier.ask({"class": place, "text": (run / path).read_text()} for path, place in models.items())
    assert {path: answer for path, answer in zip(models, answers, strict=True) if answer} == {}


def test_the_counts_of_a_run_are_those_that_pier_computes(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    metadata = [json.loads(path.read_text()) for path in run.glob("*/critique-metadata.json")]
    failed = [one for one in metadata if one["exception_info"]]
    assert failed
    assert result["n_items"] == len(metadata) + len(result["failed_items"])
    assert result["n_failed"] == len(failed) + len(result["failed_items"])
