"""The short tree of errors that Pier Site raises on purpose: each is one clear sentence for people."""

from pathlib import Path
from typing import ClassVar, Literal

# The values of runs.models.Cause, for code that must not import Django.
Cause = Literal["agent", "task", "verifier", "infrastructure", "provider", "budget", "cancelled", "unknown"]


class PierError(Exception):
    """Something went wrong that Pier Site understands; the message says what and where."""

    cause: ClassVar[Cause] = "unknown"
    """Whose failure it is when it ends a trial."""


class InputInvalid(PierError):
    """What the user gave (a path, a file, an option) cannot be used; commands exit with 2."""

    cause: ClassVar[Cause] = "task"


class FileUnreadable(InputInvalid):
    """A file is missing, torn, too large or not what its name says."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class TaskInvalid(FileUnreadable):
    """A task directory cannot be run as it is."""


class JobInvalid(InputInvalid):
    """A job configuration cannot be run as it is."""


class TrajectoryInvalid(InputInvalid):
    """A document is not an ATIF trajectory."""


class SandboxFailed(PierError):
    """The sandbox, not the agent, failed: image, engine, network or transfer."""

    cause: ClassVar[Cause] = "infrastructure"


class AgentInstallFailed(SandboxFailed):
    """What an agent needs could not be installed: nothing that the agent did, and another try may succeed."""


class AgentFailed(PierError):
    """The agent could not be set up or did not run to its end."""

    cause: ClassVar[Cause] = "agent"


class VerifierFailed(PierError):
    """The verifier gave no usable reward."""

    cause: ClassVar[Cause] = "verifier"


class ExecutionSuperseded(PierError):
    """A newer execution has taken the trial over; this one may write nothing more."""


class Cancelled(PierError):
    """The trial was cancelled by a person."""

    cause: ClassVar[Cause] = "cancelled"


# The names below are Pier's: they are written to `exception_type`, and tools of the field know them.


class EnvironmentStartTimeoutError(SandboxFailed):
    """The sandbox was not up within its build timeout."""


class HealthcheckError(SandboxFailed):
    """The task's health check never succeeded."""


class AgentSetupTimeoutError(AgentFailed):
    """The agent was not set up within its time."""


class AgentTimeoutError(AgentFailed):
    """The agent was stopped at its timeout; what it had done by then is verified."""

    cause: ClassVar[Cause] = "budget"


class AgentOutOfMemoryError(AgentFailed):
    """The agent ended with an error as its sandbox had no memory left; what it had done by then is verified."""

    cause: ClassVar[Cause] = "budget"


class StorageLimitExceededError(AgentFailed):
    """The agent wrote more than its sandbox may hold and was stopped; what it had done by then is verified."""

    cause: ClassVar[Cause] = "budget"


class GuardReached(AgentFailed):
    """The agent was stopped by a guard of the job; what it had done by then is verified."""

    cause: ClassVar[Cause] = "budget"


class AgentCostLimitError(GuardReached):
    """The agent's calls cost more than the job allows, and it was stopped."""


class AgentCallLimitError(GuardReached):
    """The agent made as many calls of the model as the job allows, and it was stopped."""


class AgentIdleError(GuardReached):
    """The agent's log did not grow for as long as the job allows, and it was stopped."""


class AgentLingerError(GuardReached):
    """The agent's process lived on after its final message for as long as the job allows, and it was ended."""


class ProviderFailed(AgentFailed):
    """The model's service refused or failed, and the agent gave up; what it had done by then is verified."""

    cause: ClassVar[Cause] = "provider"


class NonZeroAgentExitCodeError(AgentFailed):
    """The agent's process ended with an exit code other than 0; what it had done by then is verified."""


class VerifierTimeoutError(VerifierFailed):
    """The verifier was stopped at its timeout: there is no reward, which is not a reward of 0."""
