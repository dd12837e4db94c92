"""How long each phase of a trial may take, and what it is called when it takes longer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runs.errors import PierError
from runs.formats.task import AgentSection, VerifierSection
from runs.trial.plan import TrialPlan

AGENT_SETUP_SEC = 360.0


@asynccontextmanager
async def deadline(seconds: float | None, error: type[PierError], what: str) -> AsyncIterator[None]:
    """Cancel the body after `seconds` (None: never) and raise `error`. Other TimeoutErrors pass through unchanged."""
    timer = asyncio.timeout(seconds)
    try:
        async with timer:
            yield
    except TimeoutError:
        if not timer.expired():
            raise
        raise error(f"{what} took longer than {seconds:g} s and was stopped") from None


def environment_seconds(plan: TrialPlan, build_timeout_sec: float) -> float:
    """For building or pulling the image, starting, and the first health check."""
    return build_timeout_sec * plan.multipliers.environment_build


def agent_setup_seconds(plan: TrialPlan) -> float:
    """For making the sandbox ready for the agent."""
    override = plan.config.agent.override_setup_timeout_sec
    return (AGENT_SETUP_SEC if override is None else override) * plan.multipliers.agent_setup


def agent_seconds(plan: TrialPlan, section: AgentSection) -> float | None:
    """For the agent's work; None when neither task nor job set a limit."""
    seconds = (
        section.timeout_sec
        if plan.config.agent.override_timeout_sec is None
        else plan.config.agent.override_timeout_sec
    )
    return _capped(seconds, plan.config.agent.max_timeout_sec, plan.multipliers.agent)


def verifier_seconds(plan: TrialPlan, section: VerifierSection) -> float | None:
    """For the test script."""
    override = plan.config.verifier.override_timeout_sec
    seconds = section.timeout_sec if override is None else override
    return _capped(seconds, plan.config.verifier.max_timeout_sec, plan.multipliers.verifier)


def _capped(seconds: float | None, cap: float | None, multiplier: float) -> float | None:
    limits = [limit for limit in (seconds, cap) if limit is not None]
    return min(limits) * multiplier if limits else None
