"""The flags of piercritique to the configuration of a run: what is looked at, by whom, in what, and which of it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from critique.formats.config import CRITIQUES_FOLDER, ChecksConfig, CritiqueRunConfig, SelectionConfig
from critique.formats.records import METADATA, RECORD, RUN_CONFIG, read_run_config
from critique.models import Critique
from critique.rubrics.loading import find_rubric
from pier_site.accounts.models import Project
from runs.errors import FileUnreadable, InputInvalid
from runs.formats.job import AgentConfig, JobConfig
from runs.formats.reading import read_text
from runs.formats.task_directory import find_tasks
from runs.formats.validation import first_problem
from runs.indexing.scan import Kind, kind_of, purpose_of
from runs.jobs.naming import find_job_or_trial
from runs.models import Job, Purpose
from runs.scheduling.options import configured

MAX_PROMPT_BYTES = 1024 * 1024
QUESTION = "question"
SHARED = (
    "environment", "retry", "timeout_multiplier", "agent_timeout_multiplier", "agent_setup_timeout_multiplier",
    "environment_build_timeout_multiplier", "quiet",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """What is looked at, and where the run goes. `critics` are those of the critique that a question is about."""

    source: Path
    critiques: Path
    is_of_tasks: bool = False
    trials: tuple[str, ...] = ()
    parent: str | None = None
    critics: tuple[AgentConfig, ...] = ()


def run_config(options: Mapping[str, Any], project: Project) -> CritiqueRunConfig:
    """The run that the flags say. Raises InputInvalid with one sentence."""
    place = asked_place(options["of"]) if options["of"] else source_place(options["source"], options["jobs_dir"])
    prompt: Path | None = options["prompt"]
    rubric = options["rubric"] or (QUESTION if options["question"] and not prompt else None)
    job = _job(options, agent=None, models=())
    critics = _critics(options, job) or list(place.critics) or [_critic_of(rubric, project, options, place)]
    try:
        return CritiqueRunConfig(
            run_name=options["name"] or f"{datetime.now().astimezone():%Y-%m-%d__%H-%M-%S}",
            subject="task" if place.is_of_tasks else "trial",
            source_dir=place.source,
            critiques_dir=place.critiques,
            rubric=rubric,
            prompt_path=prompt.absolute() if prompt else None,
            prompt=read_text(prompt, MAX_PROMPT_BYTES) if prompt else None,
            question=options["question"],
            parent=place.parent,
            critics=critics,
            n_samples=options["samples"],
            seed=options["seed"],
            selection=_selection(options, place.trials),
            checks=ChecksConfig(enabled=options["checks"], timeout_sec=options["check_timeout"]),
            summarise=options["summarise"],
            n_concurrent=job.n_concurrent_trials,
            timeout_sec=options["timeout_sec"],
            overwrite=options["overwrite"],
            **{name: getattr(job, name) for name in SHARED},
        )
    except ValidationError as error:
        raise InputInvalid(f"the flags: {first_problem(error)}") from None


def source_place(source: str | None, jobs_dir: Path) -> Place:
    """Where the run of a job, a trial, a task or a folder of tasks goes; jobs and trials are known by name, too.

    A critique run is looked at as a whole.
    """
    if source is None:
        raise InputInvalid("name a job, a trial or a task: its directory, or of jobs and trials the name")
    path = Path(source.replace("\0", "")).expanduser()
    if not path.is_dir():
        found = find_job_or_trial(source)
        job = found if isinstance(found, Job) else found.job
        path = Path(job.directory) if found is job else Path(job.directory, found.name)
    path = path.resolve()
    kind = Kind.OTHER if (path / "task.toml").is_file() else kind_of(path)
    if kind is Kind.TRIAL:
        return Place(path.parent, path.parent / CRITIQUES_FOLDER, trials=(path.name,))
    if kind is Kind.JOB and purpose_of(path) is Purpose.CRITIQUE:
        return Place(read_run_config(path / RUN_CONFIG).source_dir, path.parent, parent=path.name)
    if kind is Kind.JOB:
        return Place(path, path / CRITIQUES_FOLDER)
    find_tasks(path)
    return Place(path, jobs_dir / CRITIQUES_FOLDER, is_of_tasks=True)


def asked_place(critique: str) -> Place:
    """Where the answer to a question on a critique goes, which is named by its directory or its number."""
    directory = Path(critique.replace("\0", "")).expanduser()
    if critique.isdecimal() and len(critique) < 19 and not directory.is_dir():
        row = Critique.objects.select_related("run", "trial").filter(pk=int(critique)).first()
        if row is None:
            raise InputInvalid(f"there is no critique {critique}")
        directory = Path(row.run.directory, row.trial.name)
    directory = directory.resolve()
    run = directory.parent
    if run.parent.name != CRITIQUES_FOLDER or not directory.is_dir():
        raise InputInvalid(f"{directory} is no critique: its directory is <job>/{CRITIQUES_FOLDER}/<run>/<name>")
    parent = f"{run.name}/{directory.name}"
    try:
        then = read_run_config(run / RUN_CONFIG)
    except FileUnreadable:
        if (directory / RECORD).exists() or not (directory / METADATA).is_file():
            raise
        # Pier's: it is about a trial of the job that it lies in.
        return Place(source=run.parent.parent, critiques=run.parent, parent=parent)
    return Place(
        source=then.source_dir,
        critiques=run.parent,
        is_of_tasks=then.subject == "task",
        parent=parent,
        critics=tuple(then.critics[:1]),
    )


def _selection(options: Mapping[str, Any], trials: Sequence[str]) -> SelectionConfig:
    verdicts = [name for name in ("passing", "failing") if options[name]]
    if len(verdicts) == 2:
        raise InputInvalid("--passing and --failing together leave nothing out: give neither")
    return SelectionConfig.model_validate(
        {
            "trial_names": [*trials, *options["trial_name"]],
            "source_agents": options["source_agent"],
            "source_models": options["source_model"],
            "verdict": verdicts[0] if verdicts else None,
            "limit": options["limit"],
            "sample_seed": options["sample_seed"],
        }
    )


def _job(options: Mapping[str, Any], *, agent: str | None, models: Sequence[str]) -> JobConfig:
    """What pierrun would make of the flags that both have, with this agent and these models."""
    given = {**options, "job_name": None, "jobs_dir": None, "sample_seed": None, "agent": agent, "model": list(models)}
    return configured(defaultdict(lambda: None, given))


def _critics(options: Mapping[str, Any], job: JobConfig) -> list[AgentConfig]:
    """Each -a with its -m; one -a with every -m; those of the files where neither is given. Empty: none was named."""
    agents, models = options["agent"], options["model"]
    if options["agent_import_path"]:
        return job.agents if not models else _job(options, agent=None, models=models).agents
    if agents:
        pairs = [(agents[0], models)] if len(agents) == 1 else _pairs(agents, models)
        return [critic for agent, named in pairs for critic in _job(options, agent=agent, models=named).agents]
    if not options["config"]:
        return []
    critics = _job(options, agent=None, models=models).agents if models else job.agents
    if options["agent_index"] is None:
        return critics
    if not 0 <= options["agent_index"] < len(critics):
        raise InputInvalid(f"--agent-index {options['agent_index']}: the file names {len(critics)} agents, from 0")
    return [critics[options["agent_index"]]]


def _pairs(agents: Sequence[str], models: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    if len(models) not in (0, 1, len(agents)):
        raise InputInvalid(f"{len(agents)} -a and {len(models)} -m are no pairs: give each critic its model")
    if len(models) == len(agents):
        return [(agent, (model,)) for agent, model in zip(agents, models, strict=True)]
    return [(agent, models) for agent in agents]


def _critic_of(rubric: str | None, project: Project, options: Mapping[str, Any], place: Place) -> AgentConfig:
    """The rubric's own critic, with the model that is named."""
    if rubric is None:
        raise InputInvalid("say who is the critic: -a AGENT -m MODEL, or -c FILE")
    own = find_rubric(rubric, project, subject="task" if place.is_of_tasks else "trial").critic
    models = options["model"] or [own.get("model")]
    if len(models) > 1 or not models[0]:
        raise InputInvalid(f"the critic of {rubric} is {own.get('agent')}: name one model for it with -m, or -a and -m")
    critic = _job(options, agent=own.get("agent"), models=models).agents[0]
    return critic.model_copy(update={"kwargs": {**own.get("kwargs", {}), **critic.kwargs}})
