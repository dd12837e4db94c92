"""Whose failure an exception is, by the name that result.json gives it.

The names are those that pier, harbor and Pier Site write to `exception_type`. A name that is not in the table is
`unknown`, never the agent's: a zero is blamed on an agent only where that is certain.

- budget: the agent was stopped by its time, turn, token, cost, memory or storage limit; its reward counts.
- agent: the agent's program could not be installed or ended with an error; its reward counts.
- task: the task directory cannot be run as it is.
- verifier: the tests gave no usable reward.
- provider: the model's service refused or failed.
- infrastructure: image, engine, sandbox, network, disk or the runner itself.
- cancelled: a person stopped it.
"""

from dataclasses import dataclass

from runs.models import Cause

NAMES: dict[Cause, tuple[str, ...]] = {
    Cause.BUDGET: (
        "AgentCallLimitError",
        "AgentCostLimitError",
        "AgentIdleError",
        "AgentLingerError",
        "AgentOutOfMemoryError",
        "AgentTimeoutError",
        "BudgetExceeded",
        "ContextLengthExceededError",
        "ContextWindowExceededError",
        "CostLimitExceededError",
        "MaxTurnsExceededError",
        "OutputLengthExceededError",
        "StorageLimitExceededError",
    ),
    Cause.AGENT: (
        "AgentFailed",
        "AgentInstallationError",
        "AgentRefusedError",
        "AgentSetupError",
        "AgentSetupTimeoutError",
        "NonZeroAgentExitCodeError",
    ),
    Cause.TASK: (
        "InvalidTaskError",
        "TaskInvalid",
        "TaskNotFoundError",
    ),
    Cause.VERIFIER: (
        "AddTestsDirError",
        "DownloadVerifierDirError",
        "RewardFileEmptyError",
        "RewardFileNotFoundError",
        "VerifierFailed",
        "VerifierOutputParseError",
        "VerifierTimeoutError",
    ),
    Cause.PROVIDER: (
        "APIConnectionError",
        "APIError",
        "APIStatusError",
        "APITimeoutError",
        "AuthenticationError",
        "BadGatewayError",
        "InternalServerError",
        "ModelNotFoundError",
        "NotFoundError",
        "OverloadedError",
        "PermissionDeniedError",
        "ProviderFailed",
        "QuotaExceededError",
        "RateLimitError",
        "ServiceUnavailableError",
    ),
    Cause.INFRASTRUCTURE: (
        "AgentInstallFailed",
        "BuildError",
        "DockerException",
        "DownloadLogsError",
        "EngineUnavailable",
        "EnvironmentBuildError",
        "EnvironmentBuildTimeoutError",
        "EnvironmentStartError",
        "EnvironmentStartTimeoutError",
        "HealthcheckError",
        "ImageNotFound",
        "ProcessLookupError",
        "SandboxBuildFailedError",
        "SandboxFailed",
        "SandboxNotFoundError",
        "SandboxTerminatedError",
        "SandboxTimeoutError",
    ),
    Cause.CANCELLED: (
        "Cancelled",
        "CancelledError",
        "KeyboardInterrupt",
        "TrialCancelledError",
    ),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What follows from a cause: whether another try measures better, and whether a reward beside it is the agent's."""

    may_be_retried: bool
    reward_counts: bool


RULES: dict[Cause, Rule] = {
    Cause.AGENT: Rule(may_be_retried=False, reward_counts=True),
    Cause.BUDGET: Rule(may_be_retried=False, reward_counts=True),
    Cause.TASK: Rule(may_be_retried=False, reward_counts=False),
    Cause.VERIFIER: Rule(may_be_retried=False, reward_counts=False),
    Cause.PROVIDER: Rule(may_be_retried=True, reward_counts=False),
    Cause.INFRASTRUCTURE: Rule(may_be_retried=True, reward_counts=False),
    Cause.CANCELLED: Rule(may_be_retried=True, reward_counts=False),
    Cause.UNKNOWN: Rule(may_be_retried=True, reward_counts=False),
}
CAUSES = {name: cause for cause, names in NAMES.items() for name in names}
# Inside one step of a multi-step task, peers record the agent's time limit under the plain name.
STEP_CAUSES = {"TimeoutError": Cause.BUDGET}
# What files call a cause where the row has another word for it.
TOLD = {"model_provider": Cause.PROVIDER, **{cause.value: cause for cause in Cause}}


def told_cause(value: object) -> Cause | None:
    """The cause that a result.json states itself, or None if it states none that is known."""
    return TOLD.get(value) if isinstance(value, str) else None


def cause_of(exception_type: str) -> Cause:
    """The cause of an exception name; `module.Name` counts as `Name`, and a name nobody listed is `unknown`."""
    return CAUSES.get(exception_type.strip().rpartition(".")[2], Cause.UNKNOWN)


def cause_of_step(exception_type: str) -> Cause:
    """The cause of an exception recorded on one step of a multi-step task and not on its trial."""
    return STEP_CAUSES.get(exception_type, cause_of(exception_type))
