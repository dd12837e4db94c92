"""What a terminal shows while a job runs: counts, causes, money, and when it will be over."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from runs.formats.result import AgentContext, ExceptionInfo, TrialResult, VerifierResult
from runs.models import Phase
from runs.progress import LiveProgress, PlainProgress
from runs.trial.plan import TrialPlan
from runs.trial.record import TrialRecord, now
from runs.trial.result import trial_result
from tests.support.tasks import make_task
from tests.support.trials import make_plan


async def no_phase(phase: Phase, detail: str) -> None:
    return


def ended(plan: TrialPlan, *, cost_usd: float | None = None, failed: bool = False) -> TrialResult:
    plan.directory.mkdir(parents=True, exist_ok=True)
    result = trial_result(TrialRecord(plan, no_phase), None)
    info = ExceptionInfo(
        exception_type="AgentTimeoutError", exception_message="late", occurred_at=now(), cause="budget"
    )
    return result.model_copy(
        update={
            "agent_result": AgentContext(cost_usd=cost_usd),
            "verifier_result": VerifierResult(rewards={"reward": 1.0}),
            "exception_info": info if failed else None,
        }
    )


@pytest.fixture
def plans(tmp_path: Path) -> list[TrialPlan]:
    task = make_task(tmp_path)
    return [make_plan(task, tmp_path / "job", name=f"trial-{number}") for number in range(4)]


def test_a_line_says_counts_causes_and_the_projected_cost(
    plans: list[TrialPlan], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = PlainProgress(4)
    for number, plan in enumerate(plans[:2]):
        progress.trial_began(plan)
        progress.trial_ended(plan, ended(plan, cost_usd=0.5, failed=number == 1))
    last = next(line for line in capsys.readouterr().out.splitlines() if "2 of 4" in line)
    assert "mean reward 1.000, 1 with exceptions (1 budget), $1.00 of about $2.00" in last


def test_what_running_trials_have_spent_is_counted_once(
    plans: list[TrialPlan], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = PlainProgress(4)
    for plan in plans[:2]:
        progress.trial_began(plan)
        progress.step_came(plan, "3 ls", 0.25)
    progress.trial_ended(plans[0], ended(plans[0], cost_usd=0.5))
    assert "$0.75 of about $2.00" in capsys.readouterr().out


def test_the_live_display_has_the_last_step_and_the_time_that_is_left(plans: list[TrialPlan]) -> None:
    out = io.StringIO()
    progress = LiveProgress(4, Console(file=out, force_terminal=True, width=160))
    for plan in plans[:2]:
        progress.trial_began(plan)
        progress.phase_began(plan, Phase.AGENT_EXECUTION, "")
    progress.step_came(plans[0], "7 bash \x1b[31mpytest -q", 0.1)
    progress.trial_ended(plans[1], ended(plans[1], cost_usd=0.2))
    progress.close()
    shown = out.getvalue()
    assert "7 bash \N{REPLACEMENT CHARACTER}[31mpytest -q" in shown
    assert "left" in shown
    assert "$0.30" in shown
