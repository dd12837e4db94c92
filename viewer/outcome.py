"""How a trial ended, in one word, one tone and one cause: the same in lists, grids and headers."""

from dataclasses import dataclass

from runs.models import Cause, Phase, Status, Trial
from runs.queries import AGENTS_OWN


@dataclass(frozen=True, slots=True)
class Outcome:
    """`short` fits a grid cell; `tone` is good, part, bad, warn, info or quiet; `title` says it in a sentence."""

    short: str
    label: str
    tone: str
    title: str
    cause: str = ""


def number(value: float) -> str:
    """A reward as people write it: 1, 0, 0.5, 0.333."""
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.3g}"


def outcome_of(trial: Trial) -> Outcome:
    """The outcome of `trial`; a failure that is not the agent's is never shown as the agent's zero."""
    if trial.status == Status.QUEUED:
        return Outcome("·", "queued", "quiet", "waiting for a free place")
    if trial.status == Status.RUNNING:
        running = f"running: {Phase(trial.phase).label}" if trial.phase in Phase.values else "running"
        return Outcome("…", running, "info", running)
    cause = Cause(trial.cause).label.lower() if trial.cause in Cause.values else ""
    if trial.exception_type:
        return _with_exception(trial, cause)
    if trial.status in (Status.CANCELLED, Status.INTERRUPTED):
        return Outcome("!", trial.status, "warn", f"{trial.status} before it had an outcome", cause)
    if trial.reward is None:
        return Outcome("?", "no reward", "quiet", "finished without a headline reward")
    return _rewarded(trial.reward, cause)


def _rewarded(reward: float, cause: str) -> Outcome:
    tone = "good" if reward >= 1 else "bad" if reward <= 0 else "part"
    shown = number(reward)
    return Outcome(_narrow(shown), f"reward {shown}", tone, f"reward {shown}", cause)


def _with_exception(trial: Trial, cause: str) -> Outcome:
    blame = cause or "unknown cause"
    if trial.reward is None:
        own = trial.cause in AGENTS_OWN and trial.cause != ""
        title = f"no reward: {trial.exception_type} ({blame})"
        return Outcome("×" if own else "!", "no reward", "bad" if own else "warn", title, cause)
    title = f"reward {number(trial.reward)} with {trial.exception_type} ({blame})"
    if trial.reward < 1 and trial.cause not in AGENTS_OWN:
        return Outcome("!", f"reward {number(trial.reward)}, not the agent's", "warn", title, cause)
    rewarded = _rewarded(trial.reward, cause)
    return Outcome(rewarded.short, rewarded.label, rewarded.tone, title, cause)


def _narrow(shown: str) -> str:
    """Four characters at most: what a cell has room for."""
    return shown.replace("0.", ".", 1)[:4] if shown.startswith(("0.", "-0.")) else shown[:4]
