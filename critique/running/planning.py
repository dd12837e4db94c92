"""What a critique run would do: who looks at what, what is refused and why, which hosts, what cost. Writes nothing."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from critique.formats.config import CritiqueRunConfig
from critique.formats.records import RUN_CONFIG, read_run_config
from critique.models import SUMMARY, Rubric
from critique.rubrics.loading import RubricText, find_rubric, text_of
from critique.running.cost import CostEstimate, estimate, reading_bytes
from critique.running.items import Item, items_of, load_critics_task
from critique.running.sandbox import critic_network
from critique.running.selection import Refusal
from critique.running.standing import refuse_changes, standing_of
from pier_site.accounts.local import default_project
from pier_site.accounts.models import Project
from runs.agents.registry import create_agent
from runs.errors import FileUnreadable, InputInvalid
from runs.formats.job import JobConfig, TaskSource, VerifierConfig
from runs.formats.template import MASK, missing_variables
from runs.indexing.job import directory_of
from runs.indexing.scan import critique_runs_in
from runs.jobs.naming import NEWEST
from runs.models import Job
from runs.scheduling.expand import planned, refuse_unsupported
from runs.trial.plan import TrialPlan

NO_JOB = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Plan:
    """A run before it is begun. `items` are all of its critiques, `kept` the names of those that are there already.

    `rubric` and `summary_rubric` are what `config` names, None where a prompt is given or no summary is asked for.
    `hosts` are what the critics will reach.
    """

    config: CritiqueRunConfig
    rubric: RubricText | None
    rubric_id: int | None
    summary_rubric: RubricText | None
    items: tuple[Item, ...]
    kept: frozenset[str]
    refused: tuple[Refusal, ...]
    hosts: tuple[str, ...]
    cost: CostEstimate

    @property
    def wanted(self) -> list[Item]:
        """The critiques that are to be made."""
        return [item for item in self.items if item.name not in self.kept]

    def rubric_of(self, item: Item) -> RubricText | None:
        """What the critic of an item goes by."""
        return self.summary_rubric if item.is_summary else self.rubric

    def as_json(self) -> dict[str, Any]:
        """What the row of a plan keeps, and pages show."""
        cost = self.cost
        return {
            "n_critiques": len(self.wanted),
            "n_kept": len(self.kept),
            "n_sources": len({item.source_name for item in self.wanted if not item.is_summary}),
            "hosts": list(self.hosts),
            "cost_usd": cost.usd,
            "cost_low_usd": cost.low,
            "cost_high_usd": cost.high,
            "cost_basis": cost.basis,
            "items": [item.name for item in self.wanted],
            "refused": [{"name": refusal.name, "reason": refusal.reason} for refusal in self.refused],
        }

    def refuse_more_than(self, approved: Mapping[str, Any]) -> None:
        """Raise InputInvalid where it holds critiques that were not in the plan that somebody approved."""
        known = approved.get("items")
        more = [item.name for item in self.wanted if item.name not in (known if isinstance(known, list) else ())]
        if more:
            raise InputInvalid(f"the approved plan has no {more[0]}: the job has changed since, plan it again")


def plan_run(config: CritiqueRunConfig, project: Project | None = None) -> Plan:
    """Look at everything that the run depends on; nothing is written but a new version of a rubric file, nothing spent.

    Reads the results of the job's trials and each of their tasks; a few queries. Raises InputInvalid with one sentence
    for what no critique could be made with: rubric, critics, sandbox, variables, an empty selection, a run of this name
    that was made otherwise.
    """
    config = _settled(config)
    project = project or _project_of(config)
    row = _rubric(config, project)
    rubric = text_of(row) if row else None
    if rubric:
        # A question goes to whatever the critique was about that it is on.
        if config.question is None and (rubric.subject == "task") != (config.subject == "task"):
            raise InputInvalid(f"{rubric.label} is about {rubric.subject}s: {config.source_dir} has {config.subject}s")
        named = {"rubric": rubric.label, "rubric_digest": rubric.digest, "subject": rubric.subject}
        config = config.model_copy(update=named)
    if config.question is None:
        config = config.model_copy(update={"parent": _whole_run(config)})
    summary = text_of(find_rubric(SUMMARY, project)) if config.summarise else None
    _refuse_what_cannot_run(config)
    items, refused = items_of(config)
    kept: frozenset[str] = frozenset()
    if config.path.exists() and not config.overwrite:
        refuse_changes(config)
        kept = standing_of(config.path, items)
        if any(item.name not in kept for item in items if not item.is_summary):
            # What it summed up is not what there will be.
            kept -= {SUMMARY}
    wanted = [item for item in items if item.name not in kept]
    return Plan(
        config=config,
        rubric=rubric,
        rubric_id=row.pk if row else None,
        summary_rubric=summary,
        items=tuple(items),
        kept=kept,
        refused=tuple(refused),
        hosts=_hosts(config, wanted),
        cost=_cost(config, wanted),
    )


def _settled(config: CritiqueRunConfig) -> CritiqueRunConfig:
    """With absolute paths that lead through no link: rows are found by them."""
    places = {name: Path(directory_of(getattr(config, name))) for name in ("source_dir", "critiques_dir")}
    return config.model_copy(update=places)


def _project_of(config: CritiqueRunConfig) -> Project:
    """That of the job that is looked at, where it is known."""
    jobs = Job.objects.filter(directory=str(config.source_dir)).select_related("project").order_by(*NEWEST)
    job = jobs.first()
    return job.project if job else default_project()


def _rubric(config: CritiqueRunConfig, project: Project) -> Rubric | None:
    if (config.rubric is None) == (config.prompt is None):
        raise InputInvalid("a critic needs a rubric or a prompt: give one of them")
    rubric = find_rubric(config.rubric, project, subject=config.subject) if config.rubric else None
    if rubric and config.rubric_digest and config.rubric_digest != rubric.digest:
        raise InputInvalid(f"the rubric {config.rubric} is not what it was when this was planned: plan it again")
    return rubric


def _whole_run(config: CritiqueRunConfig) -> str | None:
    """The name of the run that is looked at as a whole: the one that is named, else the newest of the job's.

    Raises InputInvalid where there is none, and where it is named to critics of single trials.
    """
    if config.subject != "run":
        if config.parent:
            raise InputInvalid(
                f"{config.parent} holds critiques: {config.rubric or 'a prompt'} is about a job's trials"
            )
        return None
    if config.parent:
        return config.parent
    runs = [run for run in critique_runs_in(config.source_dir) if run != config.path and _is_of_trials(run)]
    if not runs:
        raise InputInvalid(f"{config.source_dir}: there is no critique run to sum up")
    return max(runs, key=lambda run: (run / RUN_CONFIG).stat().st_mtime).name


def _is_of_trials(run: Path) -> bool:
    try:
        return read_run_config(run / RUN_CONFIG).subject == "trial"
    except FileUnreadable:
        return False


def job_config_of(config: CritiqueRunConfig) -> JobConfig:
    """The run as the machinery of jobs knows it: its trials are critiques. Raises ValueError for an impossible name."""
    shared = {name: getattr(config, name) for name in JobConfig.model_fields if name in CritiqueRunConfig.model_fields}
    return JobConfig(
        **shared,
        job_name=config.run_name,
        jobs_dir=config.critiques_dir,
        n_concurrent_trials=config.n_concurrent,
        agents=config.critics,
        verifier=VerifierConfig(disable=True),
        final_state=False,
        lenient_names=True,
    )


def trial_plan_of(config: CritiqueRunConfig, job: JobConfig, item: Item, job_id: UUID) -> TrialPlan:
    """The critic's own trial."""
    task, critic = TaskSource(path=item.task), config.critics[item.critic - 1]
    return planned(job, task, critic, item.sample, directory=config.path / item.name, job_id=job_id)


def digest_of_prompt(config: CritiqueRunConfig) -> str:
    """Of the template and the question, as they were given; empty where a rubric alone says what to do."""
    said = [text for text in (config.prompt, config.question) if text is not None]
    return f"sha256:{hashlib.sha256(chr(0).join(said).encode(errors='surrogatepass')).hexdigest()}" if said else ""


def _refuse_what_cannot_run(config: CritiqueRunConfig) -> None:
    """Raise InputInvalid for what every critique would fail of."""
    try:
        job = job_config_of(config)
    except ValueError:
        raise InputInvalid(f"{config.run_name[:60]!r} can't be the name of a critique run") from None
    refuse_unsupported(job)
    values = list(config.environment.env.values())
    for critic in config.critics:
        create_agent(critic)
        values += critic.env.values()
    if any(MASK in value for value in values):
        raise InputInvalid("secrets are not kept in plans: name variables of the environment for them, as ${NAME}")
    if missing := missing_variables(values, os.environ):
        raise InputInvalid(f"these variables are needed and not set: {', '.join(missing)}")


def _hosts(config: CritiqueRunConfig, wanted: Sequence[Item]) -> tuple[str, ...]:
    job = job_config_of(config)
    first = {item.critic: item for item in reversed(wanted)}
    found: dict[str, None] = {}
    for critic, item in sorted(first.items()):
        plan = trial_plan_of(config, job, item, NO_JOB)
        agent = create_agent(config.critics[critic - 1])
        network = critic_network(plan, load_critics_task(item.task), agent)
        found |= dict.fromkeys(network.allowed_hosts)
    return tuple(found)


def _cost(config: CritiqueRunConfig, wanted: Sequence[Item]) -> CostEstimate:
    sizes = {path: reading_bytes(path) for path in {item.source for item in wanted}}
    by_critic: list[list[int]] = [[] for _ in config.critics]
    for item in wanted:
        by_critic[item.critic - 1].append(sizes[item.source])
    return estimate(config.critics, by_critic)
