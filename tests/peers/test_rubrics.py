"""Rubric files and reports of an analysis, in both directions."""

import json
from pathlib import Path

import pytest

from critique.formats.records import CritiqueRecord, dump_record
from critique.rubrics.files import read_rubric
from critique.rubrics.loading import builtin_texts
from critique.summary import save_analysis
from tests.peers.venvs import Peer

pytestmark = pytest.mark.peers
PUBLISHED = {"default": "task-quality", "check": "task-quality", "analyze": "run-analysis"}


def test_every_rubric_that_a_peer_ships_is_read_and_ours_has_its_criteria(peer: Peer) -> None:
    packages = peer.folder.glob(f"lib/python*/site-packages/{peer.name}")
    paths = [path for package in packages for path in package.rglob("*rubric.toml")]
    assert len(paths) >= 2
    for path in paths:
        ours = builtin_texts()[PUBLISHED[path.stem.replace("_", "-").partition("-")[0]]]
        assert {one.name for one in read_rubric(path).criteria} == {one.name for one in ours.criteria}


def test_a_peer_reads_the_criteria_of_our_rubrics(peer: Peer) -> None:
    texts = [json.dumps({"criteria": [one.model_dump() for one in text.criteria]}) for text in builtin_texts().values()]
    asked = [{"class": "cli.quality_checker.models:Rubric", "text": text} for text in texts]
    assert peer.ask(asked) == [None] * len(asked)


def test_a_peer_reads_the_report_on_a_run(peer: Peer, tmp_path: Path) -> None:
    result = {
        "rating": "good",
        "tag": "SOLVED",
        "feedback": "Count it.",
        "checks": {"reward_hacking": {"outcome": "not_applicable", "explanation": "Nothing was done."}},
    }
    for name in ("mend__1", "run-summary"):
        (tmp_path / name / "artifacts").mkdir(parents=True)
        record = CritiqueRecord(run_name="one", name=name, source_dir=tmp_path, source_name=name, outcome="valid")
        (tmp_path / name / "critique.json").write_text(dump_record(record))
        (tmp_path / name / "artifacts/critique-result.json").write_text(json.dumps(result))
    assert save_analysis(tmp_path, [tmp_path / "mend__1"], tmp_path / "run-summary")
    report = (tmp_path / "analysis.json").read_text()
    assert peer.ask([{"class": "analyze.models:JobAnalyzeResult", "text": report}]) == [None]
