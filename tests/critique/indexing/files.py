"""Directories of critiques, of Pier and of Pier Site, written by functions."""

from pathlib import Path
from typing import Any

from critique.citations.formats import CheckedCitation, CheckedCitations, FoundTrajectory, write_citations
from critique.formats.records import CritiqueRecord, dump_record
from runs.indexing.scan import CRITIQUES
from tests.runs.indexing.files import make_job, step, trajectory, trial_result, write

SOURCE = "fix-it__0000000"


def make_source(root: Path, *, trials: int = 1, steps: int = 5) -> Path:
    """A finished Pier job whose trials have `steps` steps each."""
    job = make_job(root, trials=trials)
    for number in range(trials):
        folder = job / f"fix-it__{number:07d}"
        write(folder / "agent/trajectory.json", trajectory(*[step(n) for n in range(1, steps + 1)]))
    return job


def citation(number: int, quote: str = "", **keys: Any) -> dict[str, Any]:
    """A citation of a step, as critics write it."""
    return {"step": number, "quote": quote or f"step {number}", **keys}


def claim(text: str = "It never ran the tests.", *citations: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """A claim, as critics write it."""
    return {"claim": text, "category": "process", "severity": "major", "citations": list(citations), **keys}


def result(*claims: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """A critique-result.json."""
    return {"rating": "bad", "tags": ["FAIL_AGENT_FAULT"], "feedback": "It gave up.", "claims": list(claims), **keys}


def record(run: Path, name: str, **changes: Any) -> CritiqueRecord:
    """A critique.json."""
    values = {
        "run_name": run.name,
        "name": name,
        "source_dir": run.parent.parent,
        "source_name": SOURCE,
        "critic_label": "codex · gpt-5",
        "rubric": "trial-validity@1",
        "outcome": "valid",
    }
    return CritiqueRecord.model_validate(values | changes)


def make_run(job: Path, name: str = "night", **config: Any) -> Path:
    """The directory of a run of Pier Site, with its own files and no critique."""
    run = job / CRITIQUES / name
    said = {"run_name": name, "source_dir": str(job), "critiques_dir": str(run.parent), "source_job_dir": str(job)}
    write(run / "config.json", said | config)
    finished = {"started_at": "2026-08-02T10:00:00Z", "finished_at": "2026-08-02T10:05:00Z"}
    write(run / "result.json", {"pier_site": {"version": "0"}, "failed_items": [], **finished})
    write(run / "job.log", "")
    return run


def make_critique(
    run: Path, name: str = SOURCE, *, output: Any = None, checked: CheckedCitations | None = None, **changes: Any
) -> Path:
    """A critique of Pier Site; `output` is its critique-result.json, `changes` are of its critique.json."""
    folder = run / name
    write(folder / "config.json", {"trial_name": name, "task": {"path": "tasks/fix-it"}, "agent": {"name": "codex"}})
    write(folder / "result.json", trial_result(trial_name=name, verifier_result=None))
    write(folder / "agent/trajectory.json", trajectory(step(1, "user"), step(2)))
    write(folder / "artifacts/critique-result.json", result() if output is None else output)
    if checked is not None:
        write_citations(folder, checked)
    write(folder / "critique.json", dump_record(record(run, name, **changes)))
    return folder


def checked(*verdicts: tuple[int, int, bool], label: str = "main") -> CheckedCitations:
    """What was found out about citations of steps of the main trajectory: claim, citation, whether it is there."""
    place = FoundTrajectory(label=label, path="agent/trajectory.json")
    return CheckedCitations(
        citations=[
            CheckedCitation(
                claim=number,
                citation=position,
                kind="step",
                is_verified=is_verified,
                note="" if is_verified else "the quote is not in this step",
                trajectory=place,
            )
            for number, position, is_verified in verdicts
        ]
    )


def make_pier_run(job: Path, name: str = "2026-08-02__10-00-00", **keys: Any) -> Path:
    """A run as `pier critique run` leaves it, without items."""
    run = job / CRITIQUES / name
    config = pier_config(job, name)
    write(run / "config.json", config)
    finished = {"started_at": "2026-08-02T10:00:00Z", "finished_at": "2026-08-02T10:05:00Z"}
    told = {"id": "22222222-0000-4000-8000-000000000001", "run_name": name, "source_job_dir": str(job)}
    counts = {"critique_dir": str(run), "config": config, "failed_items": [], "n_items": 1, "n_failed": 0}
    write(run / "result.json", {**told, **counts, **finished, **keys})
    return run


def pier_config(job: Path, name: str) -> dict[str, Any]:
    """A CritiqueConfig of Pier."""
    return {
        "run_name": name,
        "source_job_dir": str(job),
        "prompt_path": "critique.md",
        "agent": {"name": "claude-code", "model_name": "anthropic/opus"},
        "environment": {"type": "docker"},
        "timeout_multiplier": 1.0,
        "n_concurrent": 4,
    }


def make_pier_critique(run: Path, name: str = SOURCE, *, output: Any = None, **changes: Any) -> Path:
    """An item of Pier; `changes` are of its critique-metadata.json."""
    folder = run / name
    job = run.parent.parent
    metadata = {
        "id": "33333333-0000-4000-8000-000000000001",
        "source_trial_name": name,
        "critique_trial_name": name,
        "task_name": "demo/fix-it",
        "task_id": {"path": "tasks/fix-it"},
        "task_checksum": "cd" * 32,
        "source_trial_uri": (job / name).as_uri(),
        "critique_trial_uri": folder.as_uri(),
        "agent_info": {
            "name": "claude-code",
            "version": "2.0",
            "model_info": {"name": "opus", "provider": "anthropic"},
        },
        "agent_result": {"n_input_tokens": 10, "n_output_tokens": 2, "cost_usd": 0.25},
        "exception_info": None,
        "started_at": "2026-08-02T10:00:00Z",
        "finished_at": "2026-08-02T10:01:00Z",
    }
    write(folder / "critique-config.json", pier_config(job, run.name))
    write(folder / "critique-metadata.json", metadata | changes)
    write(folder / "critique.log", "")
    write(folder / "agent/trajectory.json", trajectory(step(1, "user"), step(2), step(3)))
    (folder / "verifier").mkdir(exist_ok=True)
    output = {"rating": "good", "tag": "PASS_LEGITIMATE", "feedback": "Fine."} if output is None else output
    write(folder / "artifacts/critique-result.json", output)
    return folder
