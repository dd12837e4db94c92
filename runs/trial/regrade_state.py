"""A trial's final state in a fresh sandbox: what its agent left, as the verifier found it."""

from pathlib import Path

from runs.errors import SandboxFailed
from runs.sandboxes.base import Sandbox
from runs.trial.agent import TRAJECTORY
from runs.trial.directory import WORKSPACE
from runs.trial.live import LIVE_FILE
from runs.trial.regrade_restore import restore_declared, restore_logs, restore_outside, restore_workspace
from runs.trial.regrade_source import Source

RESTORE_SEC = 600.0
# Written beside the agent's logs by the runner: a verifier never saw them.
OF_THE_RUNNER = frozenset({Path(TRAJECTORY).name, LIVE_FILE, "llm_timing.jsonl", "images"})


async def restore_final_state(sandbox: Sandbox, source: Source, *, scratch: Path) -> None:
    """Put working directory, changes elsewhere, artifacts and the agent's logs into a sandbox that was just started.

    `scratch` is a folder that is made and removed. Raises SandboxFailed.
    """
    state = source.final_state
    workdir = state.workdir if state else None
    if state is None or workdir is None:
        raise SandboxFailed(f"{source.directory.root}: no final state was kept")
    workspace = source.directory.root / WORKSPACE
    await restore_workspace(sandbox, workspace, workdir, n_bytes=state.workspace_tar_bytes)
    await restore_outside(sandbox, source.outside)
    await restore_declared(sandbox, source.collected, source.folders, workdir)
    await restore_logs(sandbox, source.folders, scratch, collected=source.collected, leave_out=OF_THE_RUNNER)
