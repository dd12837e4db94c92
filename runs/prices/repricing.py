"""What a finished job would have cost at other prices: of its recorded tokens, kept beside what was recorded."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from runs.agents.conversion.usage import Usage
from runs.errors import FileUnreadable, PierError
from runs.files import write_atomically
from runs.formats.reading import read_json
from runs.formats.trajectory_reader import ReadTrajectory, read_trajectory
from runs.indexing.repricing import REPRICING
from runs.indexing.scan import trials_in
from runs.indexing.stamps import RESULT, TRAJECTORY_FILES, places
from runs.indexing.values import Json, amount, count, mapping, text
from runs.prices.table import PriceTable
from runs.prices.timing import CALL_LOG, Call, call_of, read_call_log

Basis = Literal["calls", "call log", "totals", "nothing"]


@dataclass(frozen=True, slots=True)
class RepricedTrial:
    """One trial at the new prices. `basis` is what they were applied to, the best there was.

    `repriced_usd` is None where the table lacks a model (`unpriced` names it) or no token is recorded.
    """

    name: str
    recorded_usd: float | None
    repriced_usd: float | None
    basis: Basis
    n_calls: int
    unpriced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repricing:
    """A job at other prices. The totals are over the trials that have the figure."""

    prices: str
    table_digest: str
    at: str
    trials: tuple[RepricedTrial, ...]

    @property
    def recorded_usd(self) -> float:
        return sum(trial.recorded_usd or 0.0 for trial in self.trials)

    @property
    def repriced_usd(self) -> float:
        return sum(trial.repriced_usd or 0.0 for trial in self.trials)


def reprice_job(directory: Path, pricing: Path) -> Repricing:
    """Apply the table in `pricing` to every trial of a job directory and write repricing.json there.

    Nothing that was recorded is changed. Raises FileUnreadable for the table or a directory that is no job.
    """
    table = PriceTable.read(pricing)
    trials = trials_in(directory)
    if not trials:
        raise FileUnreadable(directory, "there is no trial in it")
    repricing = Repricing(
        prices=table.name,
        table_digest=f"sha256:{hashlib.sha256(pricing.read_bytes()).hexdigest()}",
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        trials=tuple(_repriced(trial, table) for trial in trials),
    )
    document = {**asdict(repricing), "recorded_usd": repricing.recorded_usd, "repriced_usd": repricing.repriced_usd}
    write_atomically(directory / REPRICING, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return repricing


def _repriced(directory: Path, table: PriceTable) -> RepricedTrial:
    result = _result(directory)
    basis, calls = _calls_of(directory, result)
    costs: list[float] = []
    unpriced: dict[str, None] = {}
    for call in calls:
        cost = table.cost_usd(call.model, call.usage)
        if cost is None:
            unpriced[call.model or "unknown model"] = None
        else:
            costs.append(cost)
    return RepricedTrial(
        name=directory.name,
        recorded_usd=amount(mapping(result.get("agent_result")).get("cost_usd")),
        repriced_usd=sum(costs) if costs and not unpriced else None,
        basis=basis,
        n_calls=len(calls),
        unpriced=tuple(unpriced),
    )


def _result(directory: Path) -> Json:
    try:
        return mapping(read_json(directory / RESULT, lenient=True))
    except PierError:
        return {}


def _calls_of(directory: Path, result: Json) -> tuple[Basis, list[Call]]:
    """The calls of all stages: of the trajectories, else of their call logs, else one made of the totals."""
    model = _model(result)
    by_steps = [call for place in places(directory) for call in _calls_of_steps(directory / place, model)]
    if by_steps:
        return "calls", by_steps
    by_log = [call for place in places(directory) for call in _calls_of_log(directory / place / "agent" / CALL_LOG)]
    if by_log:
        return "call log", by_log
    used = mapping(result.get("agent_result"))
    totals = Usage(
        uncached_tokens=_difference(count(used.get("n_input_tokens")), count(used.get("n_cache_tokens"))),
        cache_read_tokens=count(used.get("n_cache_tokens")),
        output_tokens=count(used.get("n_output_tokens")),
    )
    if totals.input_tokens is None and totals.output_tokens is None:
        return "nothing", []
    return "totals", [Call(model, totals)]


def _model(result: Json) -> str:
    info = mapping(mapping(result.get("agent_info")).get("model_info"))
    provider, name = text(info.get("provider"), 100), text(info.get("name"), 255)
    return f"{provider}/{name}" if provider and name else name


def _difference(whole: int | None, part: int | None) -> int | None:
    return None if whole is None else max(0, whole - (part or 0))


def _calls_of_steps(place: Path, model: str) -> Iterator[Call]:
    for name in TRAJECTORY_FILES:
        if not (place / name).is_file():
            continue
        try:
            read = read_trajectory(read_json(place / name, within=place, lenient=True))
        except PierError:
            continue
        yield from _calls_in(read, model)
        return


def _calls_in(read: ReadTrajectory, model: str) -> Iterator[Call]:
    own = read.model_name or model
    for step in read.steps:
        metrics: Any = step.raw.get("metrics")
        if step.source == "agent" and not step.is_copied_context and isinstance(metrics, dict):
            call = call_of(step.model_name or own, metrics)
            if call:
                yield call
    # Calls that left no record of their own, such as those that summarise.
    rest = mapping(mapping(mapping(read.final_metrics).get("extra")).get("unlogged_usage"))
    if unlogged := call_of(own, {**rest, "extra": rest}):
        yield unlogged
    for subagent in read.subagents:
        yield from _calls_in(subagent, own)


def _calls_of_log(path: Path) -> Iterator[Call]:
    if path.is_file() and not path.is_symlink():
        yield from read_call_log(path)
