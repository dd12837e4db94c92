"""Claims and citations as pages show them: labels, addresses, tones, and texts that fit a page. No query is asked."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote as quoted

from django.urls import reverse
from django.utils.http import urlencode

from critique.models import VALID_OUTCOMES, Citation, Claim, Critique, Outcome
from critique.queries import CLAIM_CHARS, QUOTE_CHARS
from runs.models import Trajectory, Trial

# What claims may come to on one page, at the most that escaping makes of them; ordinary pages use a twentieth.
ROOM_BYTES = 800_000
_GROWTH = 6
TAIL_CHARS = 4_000
_TONES = {Claim.Severity.CRITICAL: "bad", Claim.Severity.MAJOR: "warn", Claim.Severity.MINOR: "info"}
_CHECK_TONES = {
    Claim.CheckOutcome.CONFIRMED: "good",
    Claim.CheckOutcome.REFUTED: "bad",
    Claim.CheckOutcome.NOT_RUNNABLE: "warn",
}
_RATING_TONES = {Critique.Rating.GOOD: "good", Critique.Rating.BAD: "bad"}
CHECK_UNDER_WAY = (Claim.CheckOutcome.QUEUED, Claim.CheckOutcome.RUNNING)


@dataclass(frozen=True, slots=True)
class ShownCitation:
    """One citation. `address` leads to what is cited, empty where it has no page; `is_step`: beside the critique."""

    pk: int
    label: str
    address: str
    is_step: bool
    trajectory: int | None
    quote: str
    is_cut: bool
    is_verified: bool
    note: str


@dataclass(frozen=True, slots=True)
class ShownCheck:
    """The command that a critic suggested, and what running it came to."""

    command: str
    expects: list[str]
    outcome: str
    label: str
    tone: str
    facts: list[str]
    output: str
    may_run: bool
    is_under_way: bool


@dataclass(frozen=True, slots=True)
class ShownClaim:
    """One claim."""

    pk: int
    number: int
    anchor: str
    text: str
    category: str
    severity: str
    tone: str
    confidence: str
    citations: list[ShownCitation]
    check: ShownCheck | None


@dataclass(frozen=True, slots=True)
class ShownCritique:
    """One critique with as many of its claims as there is room for; `n_more` are on its own page."""

    critique: Critique
    verdict: "Verdict"
    claims: list[ShownClaim]
    n_more: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a critique, in a word and a tone."""

    label: str
    tone: str


def verdict_of(critique: Critique) -> Verdict:
    """The rating; where there is none, how far the critic came. What stayed invalid rates nothing, whatever it says."""
    if critique.rating and critique.outcome in VALID_OUTCOMES:
        return Verdict(critique.rating, _RATING_TONES[Critique.Rating(critique.rating)])
    if critique.outcome == Outcome.PENDING:
        status = critique.trial.status
        return Verdict(status, "info" if status == "running" else "quiet")
    tones = {Outcome.INVALID: "warn", Outcome.FAILED: "warn"}
    if critique.outcome in tones:
        return Verdict(Outcome(critique.outcome).label.lower(), tones[Outcome(critique.outcome)])
    return Verdict("no rating", "quiet")


class Claims:
    """Makes rows to what is shown, while there is room on the page."""

    def __init__(self, trial: Trial | None, *, here: str, may_run: bool, has_anchors_of_one: bool = False) -> None:
        """Args: `here` is the page's query without a place; on a page of one critique anchors are `claim-3`."""
        self._trial = trial
        self._here = here
        self._may_run = may_run
        self._is_of_one = has_anchors_of_one
        self._room = ROOM_BYTES

    def shown(self, claims: Iterable[Claim]) -> Iterator[ShownClaim]:
        """The claims that fit; the others are left out from the first that doesn't."""
        for claim in claims:
            found = self._claim(claim)
            self._room -= 2_000 + _GROWTH * _size_of(found)
            if self._room < 0:
                return
            yield found

    def _claim(self, claim: Claim) -> ShownClaim:
        text: str = vars(claim).get("shown_text") or claim.text[: CLAIM_CHARS + 1]
        anchor = f"claim-{claim.position}" if self._is_of_one else f"claim-{claim.critique_id}-{claim.position}"
        return ShownClaim(
            pk=claim.pk,
            number=claim.position,
            anchor=anchor,
            text=f"{text[:CLAIM_CHARS]}…" if len(text) > CLAIM_CHARS else text,
            category=claim.category,
            severity=claim.severity,
            tone=_TONES.get(Claim.Severity(claim.severity), "quiet"),
            confidence=percent(claim.confidence),
            citations=[self._citation(cited) for cited in claim.citations.all()],
            check=check_of(claim, may_run=self._may_run),
        )

    def _citation(self, cited: Citation) -> ShownCitation:
        text: str = vars(cited).get("shown_quote") or cited.quote[: QUOTE_CHARS + 1]
        address = ""
        if self._trial is not None:
            address = self._step(cited) if cited.kind == Citation.Kind.STEP else _file_address(self._trial, cited, text)
        return ShownCitation(
            pk=cited.pk,
            label=_label(cited),
            address=address,
            is_step=cited.kind == Citation.Kind.STEP and bool(address),
            trajectory=cited.trajectory_id,
            quote=text[:QUOTE_CHARS],
            is_cut=len(text) > QUOTE_CHARS,
            is_verified=cited.is_verified,
            note=cited.note,
        )

    def _step(self, cited: Citation) -> str:
        if cited.trajectory is None or not cited.step or cited.step > cited.trajectory.n_steps:
            return ""
        return f"{self._here}{'&' if self._here != '?' else ''}{urlencode({'cite': cited.pk})}#step-{cited.step}"


def check_of(claim: Claim, *, may_run: bool) -> ShownCheck | None:
    """The claim's suggested check; None where there is none."""
    suggested = claim.suggested_check
    if not isinstance(suggested, dict) or not isinstance(suggested.get("command"), str):
        return None
    outcome = Claim.CheckOutcome(claim.check_outcome)
    result = claim.check_result if isinstance(claim.check_result, dict) else {}
    tail = result.get("tail")
    return ShownCheck(
        command=suggested["command"][:CLAIM_CHARS],
        expects=list(_expectations(suggested.get("expect"))),
        outcome=outcome,
        label=str(outcome.label).lower(),
        tone=_CHECK_TONES.get(outcome, "quiet"),
        facts=list(_facts(result)),
        output=tail[-TAIL_CHARS:] if isinstance(tail, str) else "",
        may_run=may_run,
        is_under_way=outcome in CHECK_UNDER_WAY,
    )


def _size_of(claim: ShownClaim) -> int:
    """Letters that others wrote; and for each citation those that the page adds."""
    check = claim.check
    of_check = len(check.command) + len(check.output) + sum(map(len, check.expects)) if check else 0
    return len(claim.text) + of_check + sum(len(cited.quote) + len(cited.note) + 200 for cited in claim.citations)


def _where(trajectory: Trajectory | None) -> str:
    """Which trajectory a step is in, where it is not the main one."""
    if trajectory is None or (trajectory.kind == Trajectory.Kind.MAIN and not trajectory.task_step):
        return ""
    kind = "" if trajectory.kind == Trajectory.Kind.MAIN else str(trajectory.get_kind_display())
    return f" of {' '.join(part for part in (trajectory.task_step, kind) if part)}"


def _label(cited: Citation) -> str:
    if cited.kind == Citation.Kind.STEP:
        return f"step {cited.step:,}{_where(cited.trajectory)}" if cited.step else "step"
    if cited.kind == Citation.Kind.FILE:
        return f"{cited.path}:{cited.line}" if cited.line else cited.path
    return cited.test


def _file_address(trial: Trial, cited: Citation, quote: str) -> str:
    """The page of a cited file or of the tests; the browser itself goes to the quote and marks it."""
    if cited.kind == Citation.Kind.TEST:
        return f"{reverse('trial-verifier', args=[trial.pk])}#:~:text={quoted(cited.test[:200], safe='')}"
    folder, _, path = cited.path.partition("/")
    if folder != "trial" or not path or any(part in ("", ".", "..") for part in path.split("/")):
        return ""
    line = next((line.strip() for line in quote.splitlines() if len(line.strip()) >= 4), "")
    marked = f"#:~:text={quoted(line[:120], safe='').replace('-', '%2D')}" if line else ""
    return f"{reverse('trial-file', args=[trial.pk, path])}{marked}"


def _expectations(expect: object) -> Iterator[str]:
    if not isinstance(expect, dict):
        return
    words = {"exit_code": "exit code", "output_contains": "output has", "output_lacks": "output lacks"}
    for key, label in words.items():
        if expect.get(key) is not None:
            yield f"{label} {str(expect[key])[:200]}"


def _facts(result: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(result.get("exit_code"), int):
        yield f"exit code {result['exit_code']}"
    if isinstance(result.get("seconds"), int | float):
        yield f"{result['seconds']:.1f} s"
    if isinstance(result.get("reason"), str) and result["reason"]:
        yield result["reason"][:300]


def percent(share: float | None) -> str:
    """A share as people read it, empty where there is none."""
    return "" if share is None else f"{100 * share:.0f} %"


def shown_critiques(critiques: Iterable[Critique], claims: Claims, *, n_claims_known: bool) -> list[ShownCritique]:
    """Critiques with their prefetched `shown_claims`; when claims are filtered it isn't known how many are left out."""
    found = []
    for critique in critiques:
        shown = list(claims.shown(vars(critique).get("shown_claims", ())))
        n_more = critique.n_claims - len(shown) if n_claims_known else 0
        found.append(ShownCritique(critique, verdict_of(critique), shown, max(0, n_more)))
    return found
