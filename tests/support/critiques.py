"""Rows of critiques for tests: a critic's trial, what it said, and the run that it belongs to."""

import itertools
from collections.abc import Sequence
from typing import Any

from critique.models import Citation, Claim, Critique, CritiqueRun, CritiqueTag, Outcome, Rubric
from runs.models import Job, Purpose, Trial
from tests.support.factories import make_job, make_trial

_numbers = itertools.count(1)


def make_rubric(**columns: Any) -> Rubric:
    """A rubric that is there for all projects, unless a project is given."""
    number = next(_numbers)
    defaults = {
        "name": f"rubric-{number}", "title": f"Rubric {number}", "text": "Look *closely*.", "output_schema": {},
        "critic": {"agent": "claude-code", "timeout_sec": 1800}, "digest": f"sha256:{number}",
    }  # fmt: skip
    return Rubric.objects.create(**defaults | columns)


def make_run(source: Job | None = None, *, is_plan: bool = False, **columns: Any) -> CritiqueRun:
    """A finished run over a job's trials, or a plan of one."""
    source = source or make_job()
    number = next(_numbers)
    directory = f"{source.directory}/.critiques/run-{number}"
    defaults: dict[str, Any] = {
        "project": source.project, "source_job": source, "name": f"run-{number}", "directory": directory,
    }  # fmt: skip
    if not is_plan:
        name = columns.get("name", f"run-{number}")
        job = make_job(source.project, name=name, directory=directory, purpose=Purpose.CRITIQUE)
        defaults |= {"job": job, "approved_at": job.started_at}
    return CritiqueRun.objects.create(**defaults | columns)


def make_critique(
    source: Trial | None = None,
    *,
    run: CritiqueRun | None = None,
    tags: Sequence[str] = (),
    critic: dict[str, Any] | None = None,
    **columns: Any,
) -> Critique:
    """A valid critique with a good rating, without claims."""
    source = source or make_trial()
    run = run or make_run(source.job)
    assert run.job is not None
    agent = {"agent_name": "claude-code", "model_name": "sonnet", "reward": None, "rewards": None, "cost_usd": 0.12}
    trial = make_trial(run.job, **agent | {"task_name": source.task_name} | (critic or {}))
    defaults = {
        "run": run, "trial": trial, "source_trial": source, "source_name": source.name, "outcome": Outcome.VALID,
        "rating": "good", "feedback": "It **works**.",
    }  # fmt: skip
    critique = Critique.objects.create(**defaults | columns)
    CritiqueTag.objects.bulk_create(CritiqueTag(critique=critique, name=name) for name in tags)
    return critique


def make_claim(critique: Critique, text: str = "It reads the file first.", **columns: Any) -> Claim:
    """The next claim of a critique."""
    claim = Claim.objects.create(
        **{"critique": critique, "position": critique.claims.count() + 1, "text": text} | columns
    )
    Critique.objects.filter(pk=critique.pk).update(n_claims=critique.claims.count())
    critique.refresh_from_db()
    return claim


def make_citation(claim: Claim, **columns: Any) -> Citation:
    """The next citation of a claim: of step 2 of the main trajectory, verified, unless something else is said."""
    source = claim.critique.source_trial
    trajectory = source.trajectories.order_by("position").first() if source else None
    defaults: dict[str, Any] = {
        "claim": claim, "position": claim.citations.count() + 1, "kind": "step", "step": 2, "trajectory": trajectory,
        "quote": "cat calculator.py", "is_verified": True,
    }  # fmt: skip
    if columns.get("kind", "step") != "step":
        defaults |= {"step": None, "trajectory": None}
    citation = Citation.objects.create(**defaults | columns)
    cited = Citation.objects.filter(claim__critique=claim.critique_id)
    Critique.objects.filter(pk=claim.critique_id).update(
        n_citations=cited.count(), n_unverified=cited.filter(is_verified=False).count()
    )
    return citation
