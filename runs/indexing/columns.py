"""Columns of Trial and Job rows, read from the raw JSON of any generation of result.json and config.json.

Nothing here raises on a strange value and nothing is guessed: what a file doesn't say is null or empty.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import Any

from runs.formats.job_sections import HOST_IMPORT_PATH
from runs.indexing.causes import cause_of, cause_of_step, told_cause
from runs.indexing.cleaning import clean_json
from runs.indexing.values import Json, amount, count, first_text, mapping, mappings, moment, number, seconds_of, text

TOKEN_COLUMNS = ("n_input_tokens", "n_cache_tokens", "n_output_tokens")
MAX_POSITIVE_INTEGER = 2**31 - 1
# More than any trial can use; sums of them still fit a BIGINT.
MAX_TOKENS = 10**15
MAX_MESSAGE_CHARS = 100_000
MAX_STEP_RESULTS = 1000


def trial_columns(result: Json, config: Json) -> dict[str, Any]:
    """All columns of Trial that its result.json and config.json speak of; either may be empty.

    Status, phase and owner aren't among them: they follow from evidence that these two files don't have.
    `attempt` is there only when a file says it.
    """
    config = config or mapping(result.get("config"))
    steps = list(mappings(result.get("step_results")))[:MAX_STEP_RESULTS]
    started_at, finished_at = _ordered(moment(result.get("started_at")), moment(result.get("finished_at")))
    return {
        "uuid": text(result.get("id"), 64),
        **_task_columns(result, config),
        **_agent_columns(result, config),
        **_reward_columns(result, config),
        **_exception_columns(result, steps),
        **_usage_columns(result, steps),
        **_timing_columns(result, steps),
        "step_results": clean_json(steps),
        "started_at": started_at,
        "finished_at": finished_at,
    }


def job_columns(config: Json, result: Json, *, zone: tzinfo = UTC) -> dict[str, Any]:
    """Columns of Job that its config.json and result.json speak of; `zone` is that of times that name none.

    Old results count trials as `stats.n_trials`. Status isn't here: an unfinished file may be a live or a dead job.
    """
    stats = mapping(result.get("stats"))
    started_at = moment(result.get("started_at"), zone=zone)
    finished_at = moment(result.get("finished_at"), zone=zone)
    n_trials = count(result.get("n_total_trials"), MAX_POSITIVE_INTEGER)
    if n_trials is None:
        n_trials = count(stats.get("n_trials"), MAX_POSITIVE_INTEGER) or 0
    return {
        "uuid": text(result.get("id"), 64),
        "config": clean_json(config),
        "started_at": started_at,
        "finished_at": finished_at,
        "n_trials": n_trials,
    }


def headline_reward(rewards: Json, key: str = "") -> float | None:
    """The one number a list shows: `key` if the job names one, else `reward`, else the only key.

    Of several other keys none is the headline.
    """
    if key or "reward" in rewards:
        return number(rewards.get(key or "reward"))
    return number(next(iter(rewards.values()))) if len(rewards) == 1 else None


def label_of(agent_name: str, model_name: str) -> str:
    """An agent with its model, as lists show it."""
    return f"{agent_name} · {model_name}" if model_name else agent_name


def _task_columns(result: Json, config: Json) -> dict[str, Any]:
    task, task_id = mapping(config.get("task")), mapping(result.get("task_id"))
    path = first_text(1024, task.get("path"), task_id.get("path"), result.get("task_id"))
    trial_name = first_text(255, result.get("trial_name"), config.get("trial_name"))
    name = first_text(255, result.get("task_name"), task.get("name"), path.rstrip("/").rpartition("/")[2])
    columns: dict[str, Any] = {
        "task_name": name or trial_name.rpartition("__")[0] or trial_name,
        "task_path": path,
        "task_digest": first_text(80, result.get("task_checksum"), task.get("digest")),
        "source": first_text(255, result.get("source"), task.get("source")),
    }
    attempt = count(result.get("attempt", config.get("attempt")), MAX_POSITIVE_INTEGER)
    return columns | {"attempt": attempt} if attempt else columns


def _agent_columns(result: Json, config: Json) -> dict[str, Any]:
    agent, info = mapping(config.get("agent")), mapping(result.get("agent_info"))
    environment = mapping(config.get("environment"))
    provider, model = model_parts(agent.get("model_name"))
    told = mapping(info.get("model_info"))
    version = first_text(100, info.get("version"))
    import_path = first_text(255, environment.get("import_path"))
    own_class = import_path.rpartition(":")[2]
    return {
        "agent_name": first_text(255, info.get("name"), agent.get("name"), agent.get("import_path")),
        "agent_version": "" if version.lower() == "unknown" else version,
        "model_name": first_text(255, told.get("name"), model),
        "model_provider": first_text(100, told.get("provider"), provider if not told.get("name") else None),
        "reasoning_effort": text(mapping(agent.get("kwargs")).get("reasoning_effort"), 40),
        "sandbox": "host" if import_path == HOST_IMPORT_PATH else first_text(40, environment.get("type"), own_class),
    }


def model_parts(model: object) -> tuple[str, str]:
    """Provider and name of `provider/name`, split at the first slash; the provider is empty when none is named."""
    provider, slash, name = text(model, 400).partition("/")
    return (provider, name) if slash else ("", provider)


def _reward_columns(result: Json, config: Json) -> dict[str, Any]:
    verdict = mapping(result.get("verifier_result"))
    rewards = mapping(verdict.get("rewards"))
    if not rewards and number(verdict.get("reward")) is not None:
        rewards = {"reward": verdict["reward"]}
    key = text(mapping(config.get("verifier")).get("headline_reward"), 255)
    return {"reward": headline_reward(rewards, key), "rewards": clean_json(rewards) if rewards else None}


def _exception_columns(result: Json, steps: list[Json]) -> dict[str, Any]:
    info = mapping(result.get("exception_info"))
    cause_by_name = cause_of
    if not info:
        # Peers leave the trial's own field null when a step of a multi-step task failed.
        info = next((found for step in steps if (found := mapping(step.get("exception_info")))), {})
        cause_by_name = cause_of_step
    name = first_text(255, info.get("exception_type")) or ("Exception" if info else "")
    return {
        "exception_type": name,
        "exception_message": text(info.get("exception_message"), MAX_MESSAGE_CHARS),
        "cause": (told_cause(info.get("cause")) or cause_by_name(name)) if info else "",
    }


def _usage_columns(result: Json, steps: list[Json]) -> dict[str, Any]:
    """Tokens and cost of the trial, else summed over its steps; a figure nobody gave stays null."""
    whole = mapping(result.get("agent_result"))
    parts = [mapping(step.get("agent_result")) for step in steps]

    def figures(key: str) -> list[int]:
        told = [count(usage.get(key), MAX_TOKENS) for usage in (whole, *parts)]
        # The trial's own figure already sums its steps.
        return [figure for figure in (told[:1] if told[0] is not None else told[1:]) if figure is not None]

    def total(key: str) -> int | None:
        found = figures(key)
        return sum(found) if found else None

    costs = [amount(whole.get("cost_usd"))] if amount(whole.get("cost_usd")) is not None else _costs(parts)
    known = [cost for cost in costs if cost is not None]
    n_agent_steps = count(result.get("n_agent_steps"), MAX_POSITIVE_INTEGER)
    return {
        **{key: total(key) for key in TOKEN_COLUMNS},
        "cost_usd": sum(known) if known else None,
        "peak_context_tokens": max(figures("peak_context_tokens"), default=None),
        "summarization_count": _small(total("summarization_count")),
        "n_agent_steps": n_agent_steps if n_agent_steps is not None else _small(total("n_agent_steps")) or 0,
    }


def _small(figure: int | None) -> int | None:
    return None if figure is None else min(figure, MAX_POSITIVE_INTEGER)


def _costs(parts: Iterable[Json]) -> list[float | None]:
    return [amount(part.get("cost_usd")) for part in parts]


def _timing_columns(result: Json, steps: list[Json]) -> dict[str, Any]:
    def seconds(key: str) -> float | None:
        whole = seconds_of(result.get(key))
        if whole is not None:
            return whole
        told = [part for step in steps if (part := seconds_of(step.get(key))) is not None]
        return sum(told) if told else None

    return {f"{key}_sec": seconds(key) for key in ("environment_setup", "agent_setup", "agent_execution", "verifier")}


def _ordered(started_at: datetime | None, finished_at: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Both moments, the end never before the start: a clock that stepped back is no reason to lose the row."""
    if started_at is not None and finished_at is not None:
        return started_at, max(started_at, finished_at)
    return started_at, finished_at
