import pytest

from runs.models import Cause, Phase, Status, Trial
from viewer.outcome import number, outcome_of


@pytest.mark.parametrize(
    ("columns", "short", "tone"),
    [
        ({"reward": 1.0}, "1", "good"),
        ({"reward": 0.0}, "0", "bad"),
        ({"reward": 0.5}, ".5", "part"),
        ({"reward": -1.0}, "-1", "bad"),
        ({"reward": None}, "?", "quiet"),
        ({"status": Status.QUEUED}, "·", "quiet"),
        ({"status": Status.RUNNING, "phase": Phase.VERIFIER}, "…", "info"),
        ({"status": Status.CANCELLED}, "!", "warn"),
        ({"status": Status.INTERRUPTED}, "!", "warn"),
        ({"exception_type": "SandboxFailed", "cause": Cause.INFRASTRUCTURE}, "!", "warn"),
        ({"exception_type": "NonZeroAgentExitCodeError", "cause": Cause.AGENT}, "×", "bad"),
        ({"exception_type": "Odd", "cause": Cause.UNKNOWN}, "!", "warn"),
        ({"exception_type": "AgentTimeoutError", "cause": Cause.BUDGET, "reward": 0.0}, "0", "bad"),
        ({"exception_type": "AgentTimeoutError", "cause": Cause.BUDGET, "reward": 1.0}, "1", "good"),
    ],
)
def test_outcomes(columns: dict[str, object], short: str, tone: str) -> None:
    outcome = outcome_of(Trial(**{"status": Status.FINISHED} | columns))
    assert (outcome.short, outcome.tone) == (short, tone)


@pytest.mark.parametrize("cause", [Cause.INFRASTRUCTURE, Cause.VERIFIER, Cause.PROVIDER, Cause.TASK, Cause.UNKNOWN])
def test_a_zero_that_is_not_the_agents_is_not_shown_as_the_agents(cause: Cause) -> None:
    outcome = outcome_of(Trial(status=Status.FINISHED, reward=0.0, exception_type="X", cause=cause))
    assert (outcome.short, outcome.tone) == ("!", "warn")
    assert "not the agent's" in outcome.label


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.0, "0"), (0.5, "0.5"), (1 / 3, "0.333"), (10.0, "10"), (1e9, "1e+09")]
)
def test_rewards_are_written_as_people_do(value: float, text: str) -> None:
    assert number(value) == text
