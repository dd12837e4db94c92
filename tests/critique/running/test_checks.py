"""Suggested checks, when a run asks for them."""

from pathlib import Path

import pytest

from critique.models import Claim
from tests.critique.running.commands import document, piercritique
from tests.critique.running.conftest import GOOD_TRIAL
from tests.support.critics import GOOD, flags, prompt_file, writes

pytestmark = pytest.mark.django_db(transaction=True)
CHECKED = [
    {"claim": "It is 42.", "suggested_check": {"command": "cat answer.txt", "expect": {"output_contains": "42"}}},
    {"claim": "It is gone.", "suggested_check": {"command": "test ! -e answer.txt", "expect": {"exit_code": 0}}},
    {"claim": "Nothing to run."},
]


def test_the_checks_of_claims_are_run_in_the_final_state_when_asked_for(job: Path, kind: str, tmp_path: Path) -> None:
    result = {**GOOD, "claims": CHECKED}
    code, out, _ = piercritique(
        job,
        "-p",
        prompt_file(tmp_path),
        *flags(writes(result)),
        "--name",
        "one",
        "-y",
        "--passing",
        "--checks",
        kind=kind,
    )
    assert code == 0, out
    assert "2 checks: 1 confirmed, 1 refuted" in out
    assert list(Claim.objects.order_by("position").values_list("check_outcome", flat=True)) == [
        "confirmed",
        "refuted",
        "",
    ]
    folder = job / ".critiques/one" / GOOD_TRIAL / "checks"
    assert document(folder / "1.json")["outcome"] == "confirmed"


def test_nothing_that_a_critic_suggests_is_run_unless_it_is_asked_for(job: Path, tmp_path: Path) -> None:
    result = {**GOOD, "claims": CHECKED}
    piercritique(job, "-p", prompt_file(tmp_path), *flags(writes(result)), "--name", "one", "-y", "--passing")
    assert set(Claim.objects.values_list("check_outcome", flat=True)) == {""}
    assert not (job / ".critiques/one" / GOOD_TRIAL / "checks").exists()


def test_the_checks_of_a_critique_that_is_there_can_be_run_later(job: Path, tmp_path: Path) -> None:
    result = {**GOOD, "claims": CHECKED}
    piercritique(job, "-p", prompt_file(tmp_path), *flags(writes(result)), "--name", "one", "-y", "--passing")
    code, out, err = piercritique("--check", job / ".critiques/one" / GOOD_TRIAL)
    assert code == 0, err
    assert [line.partition(":")[0] for line in out.splitlines()] == ["claim 1", "claim 2"]
    assert "claim 1: confirmed" in out
    assert "claim 2: refuted: it ended with 1, not with 0" in out
    assert Claim.objects.filter(check_outcome="confirmed").count() == 1


def test_checks_that_were_not_run_when_a_run_was_stopped_are_run_when_it_goes_on(job: Path, tmp_path: Path) -> None:
    result = {**GOOD, "claims": CHECKED}
    started = (job, "-p", prompt_file(tmp_path), *flags(writes(result)), "--name", "one", "-y", "--passing", "--checks")
    piercritique(*started)
    folder = job / ".critiques/one" / GOOD_TRIAL / "checks"
    first, second = folder / "1.json", folder / "2.json"
    stays = first.read_bytes()
    # As if the process had died between the two.
    second.unlink()
    Claim.objects.filter(position=2).update(check_outcome="", check_result={})
    code, out, _ = piercritique(*started)
    assert code == 0
    assert "2 checks: 1 confirmed, 1 refuted" in out
    assert first.read_bytes() == stays
    assert document(second)["outcome"] == "refuted"
    code, _, _ = piercritique(*started)
    assert code == 0
    assert first.read_bytes() == stays
