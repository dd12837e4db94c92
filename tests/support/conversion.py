"""Golden logs of real agent CLIs for tests of converters: loaded, fed in any cuts, and held against what a server saw.

A golden folder has the logs, `truth.json` (each call that the scripted server answered) and `run.json` (how it ran).
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from hypothesis import strategies as st

from runs.agents.conversion.base import MAIN, Converter
from runs.formats.trajectory import Step, Trajectory, dump_trajectory, strict_errors
from runs.formats.trajectory_quality import Finding, quality_of
from runs.formats.trajectory_reader import read_trajectory

GOLDEN: Final = Path(__file__).resolve().parents[1] / "golden" / "agent-logs"
OURS: Final = frozenset({"truth.json", "run.json", "README.md"})

type Files = dict[str, bytes]
"""Logs by their path below /logs/agent."""
type Pieces = list[tuple[str, bytes]]
"""What a converter is fed, in order: a path and the bytes that follow those which came before."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Tokens of a call or of several. Unknown counts as 0: the scripted numbers differ, so nothing hides in that."""

    prompt: int = 0
    cached: int = 0
    cache_write: int = 0
    completion: int = 0
    reasoning: int = 0

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.cache_write + other.cache_write,
            self.completion + other.completion,
            self.reasoning + other.reasoning,
        )

    def without_cache_write(self) -> "Figures":
        """For APIs that don't tell what was written to a cache."""
        return replace(self, cache_write=0)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call."""

    id: str
    name: str
    arguments: dict[str, Any] | str
    """Text where the server sent what is no JSON object."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the model gave in one API call. Made of truth and of a trajectory alike, so that `==` compares them.

    Where a CLI is known to log something else, a test says so with `dataclasses.replace`.
    """

    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    figures: Figures = field(default_factory=Figures)


@dataclass(frozen=True, slots=True)
class Golden:
    """One recorded run of a CLI."""

    files: Files
    truth: dict[str, Any]
    run: dict[str, Any]

    def said(self, *threads: str, statuses: Iterable[str] = ("ok",)) -> list[Said]:
        """What the server answered on these threads (`main`, `sub`, `compact`, `side`), in order of arrival."""
        wanted = frozenset(statuses)
        calls = [call for call in self.truth["calls"] if call["thread"] in threads and call["status"] in wanted]
        return [_said_by_server(call) for call in calls]

    def figures(self, *threads: str) -> Figures:
        """The sums of the calls of these threads that were delivered whole, as the server counted them."""
        totals = self.truth["totals_of_ok_calls_by_thread"]
        return sum((_server_figures(totals[name]) for name in threads if name in totals), Figures())

    def n_calls(self, *threads: str) -> int:
        """How many calls of these threads were delivered whole."""
        totals = self.truth["totals_of_ok_calls_by_thread"]
        return sum(totals[name]["calls"] for name in threads if name in totals)


def golden_folders(agent: str) -> list[Path]:
    """The recorded runs of an agent; `folder.name` is the scenario, to be used as a test's id."""
    return sorted(path.parent for path in (GOLDEN / agent).glob("*/*/truth.json"))


def load_golden(folder: Path, place: Callable[[str], str | None] = lambda path: path) -> Golden:
    """A recorded run. `place` says where below /logs/agent a recorded file belongs; None leaves it out."""
    files: Files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        placed = place(name) if path.is_file() and name not in OURS else None
        if placed is not None:
            files[placed] = path.read_bytes()
    return Golden(files, _json(folder / "truth.json"), _json(folder / "run.json"))


def said_in(trajectory: Trajectory) -> list[Said]:
    """What the agent steps of a trajectory have that are whole API calls: no unfinished ones, none without a model."""
    return [_said_in_step(step) for step in trajectory.steps if is_whole_call(step)]


def is_whole_call(step: Step) -> bool:
    """Whether a step is an API call that was delivered whole."""
    return step.source == "agent" and step.llm_call_count != 0 and not (step.extra or {}).get("unfinished")


def totals_in(trajectory: Trajectory) -> Figures:
    """The totals of a trajectory's own steps, as its final_metrics has them."""
    metrics = trajectory.final_metrics
    if metrics is None:
        return Figures()
    extra = metrics.extra or {}
    return Figures(
        prompt=metrics.total_prompt_tokens or 0,
        cached=metrics.total_cached_tokens or 0,
        cache_write=extra.get("total_cache_creation_tokens") or 0,
        completion=metrics.total_completion_tokens or 0,
        reasoning=extra.get("total_reasoning_tokens") or 0,
    )


def totals_of(converter: Converter) -> Figures:
    """What a converter says that all threads used together."""
    totals = converter.totals()
    return Figures(
        prompt=totals.input_tokens or 0,
        cached=totals.cache_read_tokens or 0,
        cache_write=totals.cache_write_tokens or 0,
        completion=totals.output_tokens or 0,
        reasoning=totals.reasoning_tokens or 0,
    )


def converted(converter: Converter, files: Mapping[str, bytes]) -> Trajectory:
    """The trajectory of whole files, which has to have a step."""
    trajectory = fed(converter, files.items())
    assert trajectory is not None, converter.warnings
    return trajectory


def fed(converter: Converter, pieces: Iterable[tuple[str, bytes]]) -> Trajectory | None:
    """The trajectory after these pieces, the converter closed."""
    for path, piece in pieces:
        converter.feed(path, piece)
    converter.close()
    return converter.trajectory()


def check_replay(converter: Converter, pieces: Iterable[tuple[str, bytes]], *, every: int = 1) -> Trajectory | None:
    """Feed the pieces and ask for updates after each `every`-th; assert that the last of each step is the final one."""
    seen: dict[str, dict[int, Step]] = {}

    def take() -> None:
        for update in converter.updates():
            seen.setdefault(update.thread, {})[update.step.step_id] = update.step

    for number, (path, piece) in enumerate(pieces):
        converter.feed(path, piece)
        if number % every == 0:
            take()
    converter.close()
    take()
    trajectory = converter.trajectory()
    written = {MAIN: trajectory.steps} if trajectory else {}
    for subagent in (trajectory and trajectory.subagent_trajectories) or ():
        written[cast("str", subagent.trajectory_id)] = subagent.steps
    replayed = {thread: [steps[number] for number in sorted(steps)] for thread, steps in seen.items()}
    if trajectory is None:
        replayed.pop(MAIN, None)
        assert not any(replayed.values())
        return None
    assert replayed == written
    assert converter.updates() == [], "nothing was fed since, so nothing can have changed"
    return trajectory


def cuttings(
    files: Mapping[str, bytes], *, rewritten: Iterable[str] = (), max_cuts: int = 12
) -> st.SearchStrategy[Pieces]:
    """Any way to cut the files and to interleave their pieces. A path in `rewritten` is given whole each time."""
    whole = frozenset(rewritten)
    positions = {path: st.integers(0, len(data)) for path, data in files.items()}
    cuts = st.fixed_dictionaries({path: st.lists(positions[path], max_size=max_cuts) for path in files})
    return st.tuples(cuts, st.randoms(use_true_random=False)).map(lambda drawn: _interleaved(files, whole, *drawn))


def by_line(files: Mapping[str, bytes]) -> Pieces:
    """The files one after the other, line by line."""
    return [(path, line) for path, data in files.items() for line in data.splitlines(keepends=True)]


def damaged(files: Mapping[str, bytes]) -> Iterator[tuple[str, Files]]:
    """The files as no agent should leave them, each with a word for what is wrong. All of them have to be survived."""
    noise = (b"\n\n", b"npm WARN not json\n", b'{"torn": \n', b"[]\n", b"null\n", b"{}\n", b'{"type": 7}\n')
    for name, change in (
        ("torn", lambda data: data[: len(data) * 2 // 3]),
        ("noisy", lambda data: b"".join(line + noise[n % 7] for n, line in enumerate(data.splitlines(keepends=True)))),
        ("not utf-8", lambda data: data.replace(b"e", b"\xff\xfe", 40)),
        ("nul", lambda data: data.replace(b"a", b"\0", 40)),
        ("escaped nul", lambda data: data.replace(b"the ", rb"\u0000 \ud800 ")),
        ("other types", lambda data: data.replace(b'":{', b'":7,"x":{').replace(b'":[', b'":"x","y":[')),
        ("strange numbers", lambda data: data.replace(b'":1', b'":-1e400')),
        ("twice", lambda data: data + data),
        ("backwards", lambda data: b"".join(reversed(data.splitlines(keepends=True)))),
        ("empty", lambda _: b""),
        ("huge line", lambda data: b'{"type": "' + b"x" * 3_000_000 + b'"}\n' + data),
    ):
        yield name, {path: change(data) for path, data in files.items()}


def problems_of(trajectory: Trajectory) -> list[str]:
    """Why the written document is not valid ATIF; empty where it is."""
    return strict_errors(json.loads(dump_trajectory(trajectory)))


def findings_of(trajectory: Trajectory) -> list[Finding]:
    """The quality report of the written document."""
    return quality_of(read_trajectory(json.loads(dump_trajectory(trajectory))))


def results_of(step: Step) -> dict[str | None, Any]:
    """What came back for each call of a step: the last result's content by call id."""
    return {result.source_call_id: result.content for result in step.observation.results} if step.observation else {}


def _interleaved(
    files: Mapping[str, bytes], rewritten: frozenset[str], cuts: Mapping[str, list[int]], rng: Any
) -> Pieces:
    queues: list[Pieces] = []
    for path, data in files.items():
        edges = [0, *sorted(cuts[path]), len(data)]
        if path in rewritten:
            queues.append([(path, data) for _ in edges[1:]])
        else:
            queues.append([(path, data[begin:end]) for begin, end in itertools.pairwise(edges)])
    pieces: Pieces = []
    while queues:
        queue = rng.choice(queues)
        pieces.append(queue.pop(0))
        queues = [queue for queue in queues if queue]
    return pieces


def _json(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(path.read_text()))


def _said_by_server(call: Mapping[str, Any]) -> Said:
    calls = tuple(Call(made["id"], made["name"], made["args"]) for made in call.get("tool_calls") or ())
    return Said(call.get("text") or "", call.get("reasoning") or "", calls, _server_figures(call.get("usage") or {}))


def _server_figures(usage: Mapping[str, int]) -> Figures:
    if not usage:
        return Figures()
    return Figures(
        prompt=usage["uncached"] + usage["read"] + usage["write"],
        cached=usage["read"],
        cache_write=usage["write"],
        completion=usage["out"],
        reasoning=usage["reasoning"],
    )


def _said_in_step(step: Step) -> Said:
    calls = tuple(Call(call.tool_call_id, call.function_name, call.arguments) for call in step.tool_calls or ())
    text = step.message if isinstance(step.message, str) else _text_of(step.message)
    metrics = step.metrics
    extra = (metrics.extra if metrics else None) or {}
    figures = Figures(
        prompt=(metrics.prompt_tokens if metrics else None) or 0,
        cached=(metrics.cached_tokens if metrics else None) or 0,
        cache_write=extra.get("cache_creation_tokens") or 0,
        completion=(metrics.completion_tokens if metrics else None) or 0,
        reasoning=extra.get("reasoning_tokens") or 0,
    )
    return Said(text, step.reasoning_content or "", calls, figures)


def _text_of(parts: Sequence[Any]) -> str:
    return "\n\n".join(part.text for part in parts if part.type == "text")
