"""`pierjob analyze -m` on the host sandbox: the telemetry, a critic on each trial, and one on all of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from critique.models import Critique, CritiqueRun
from critique.rubrics.loading import builtin_texts
from runs.models import Job, Purpose
from tests.critique.running.commands import document
from tests.critique.running.conftest import GOOD_TRIAL, POOR_TRIAL
from tests.runs.jobs.commands import pierjob
from tests.support.critics import OUTPUT

pytestmark = pytest.mark.django_db(transaction=True)
CITED = {"severity": "info", "confidence": 1, "citations": [{"file": "task/instruction.md", "quote": "answer.txt"}]}
OF_A_TRIAL = {
    "rating": "good",
    "tags": ["SOLVED"],
    "feedback": "Count it.",
    "summary": "It wrote the file and the tests saw it.",
    "confidence": 0.9,
    "claims": [{"claim": "A file was asked for.", "category": "outcome", **CITED}],
    "checks": {
        name: {"outcome": "pass", "explanation": "Nothing speaks against it."}
        for name in ("reward_hacking", "task_specification")
    },
}
OF_THE_RUN = {
    "rating": "good",
    "tags": ["TRUSTWORTHY"],
    "feedback": "Both trials can be counted.",
    "confidence": 0.9,
    "claims": [],
}


def the_critic() -> list[str]:
    """Flags of a critic who answers by what it is given."""
    command = (
        "if [ -d /critique/input/critiques ]; then\n"
        "cat /critique/input/critiques/table.md /critique/input/critiques/telemetry.json"
        " > /logs/artifacts/critique-result.md\n"
        f"cat > {OUTPUT} <<'END'\n{json.dumps(OF_THE_RUN)}\nEND\n"
        f"else\ncat > {OUTPUT} <<'END'\n{json.dumps(OF_A_TRIAL)}\nEND\nfi\n"
    )
    return [
        "-a",
        "command",
        "-m",
        "scripted/critic",
        "--ak",
        f"command={json.dumps(command)}",
        "-e",
        "host",
        "-y",
        "-q",
    ]


def the_run(job: Path) -> Path:
    [run] = (path for path in (job / ".critiques").iterdir() if path.is_dir())
    return run


def test_a_job_gets_its_figures_then_critiques_then_a_summary_of_them(job: Path) -> None:
    code, out, err = pierjob("analyze", job, *the_critic())
    assert code == 0, out + err
    assert out.index("1 passed, 1 failed") < out.index("3 valid critiques")
    run = the_run(job)
    assert run.name == "run-analysis-command-scripted-critic"
    analysis = document(run / "analysis.json")
    assert analysis["job_summary"] == "Both trials can be counted."
    assert [trial["trial_name"] for trial in analysis["trials"]] == [GOOD_TRIAL, POOR_TRIAL]
    assert analysis["trials"][0]["summary"] == OF_A_TRIAL["summary"]
    assert analysis["trials"][0]["checks"] == OF_A_TRIAL["checks"]
    assert (run / "analysis.md").read_text() == "Both trials can be counted.\n"
    row = CritiqueRun.objects.get()
    assert (str(row.rubric), row.summary) == ("run-analysis@1", "Both trials can be counted.")
    assert Critique.objects.filter(run=row).valid().count() == 3


def test_who_sums_up_is_given_the_table_and_the_figures_of_the_job(job: Path) -> None:
    assert pierjob("analyze", job, *the_critic())[0] == 0
    given = (the_run(job) / "run-summary/artifacts/critique-result.md").read_text()
    assert f"| {GOOD_TRIAL} | {GOOD_TRIAL} |" in given
    assert "| passed | 1.0 | good | SOLVED |" in given
    assert '"outcomes": {' in given


def test_what_is_there_is_not_paid_for_again(job: Path) -> None:
    assert pierjob("analyze", job, *the_critic())[0] == 0
    before = (the_run(job) / GOOD_TRIAL / "result.json").read_bytes()
    assert pierjob("analyze", job, *the_critic())[0] == 0
    assert (the_run(job) / GOOD_TRIAL / "result.json").read_bytes() == before
    assert Job.objects.filter(purpose=Purpose.CRITIQUE).count() == 1


def test_one_trial_is_looked_at_without_a_summary(job: Path) -> None:
    code, out, err = pierjob("analyze", job / GOOD_TRIAL, *the_critic())
    assert code == 0, out + err
    assert [critique.source_name for critique in Critique.objects.all()] == [GOOD_TRIAL]
    assert not (the_run(job) / "analysis.json").exists()


def test_without_a_model_nothing_is_asked_of_anybody(job: Path) -> None:
    code, out, _ = pierjob("analyze", job)
    assert (code, "1 passed, 1 failed" in out) == (0, True)
    assert not (job / ".critiques").exists()
    assert not CritiqueRun.objects.exists()


def test_a_plan_is_shown_and_nothing_started(job: Path) -> None:
    code, out, err = pierjob("analyze", job, "-m", "anthropic/opus", "--dry-run", "-e", "host")
    assert code == 0, out + err
    assert "3 critiques of 2 trials, by run-analysis" in out
    assert "claude-code · opus" in out
    assert not list((job / ".critiques").glob("*/*"))


def test_json_stays_json_with_a_critic(job: Path) -> None:
    code, out, _ = pierjob("analyze", job, "--json", *the_critic())
    assert code == 0
    told: dict[str, Any] = json.loads(out)
    assert told["totals"]["outcomes"] == {"passed": 1, "failed": 1}


def test_what_piercritique_refuses_is_one_sentence_and_its_exit_code(job: Path) -> None:
    code, _, err = pierjob("analyze", job, "-m", "opus", "-r", "run-analysys", "-y")
    assert code == 2
    assert "did you mean run-analysis?" in err
    assert "run-analysis" in builtin_texts()
