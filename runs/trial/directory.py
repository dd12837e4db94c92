"""The files of a trial, under the names that Pier and Harbor give them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

# Earlier tries at an attempt, each with the files it left.
EXECUTIONS = "executions"
# The final state: of each stage what changed, of the trial what was left.
PATCH = "changes.patch"
WORKSPACE = "workspace.tar.zst"


@dataclass(frozen=True, slots=True)
class Folders:
    """The host's side of /logs/agent, /logs/verifier and /logs/artifacts: of a trial, or of one TaskStep of it."""

    root: Path

    @property
    def agent(self) -> Path:
        return self.root / "agent"

    @property
    def verifier(self) -> Path:
        return self.root / "verifier"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    def make(self) -> None:
        for folder in (self.agent, self.verifier, self.artifacts):
            folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class TrialDirectory:
    """One trial's directory inside its job's."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def result(self) -> Path:
        return self.root / "result.json"

    @property
    def log(self) -> Path:
        return self.root / "trial.log"

    @property
    def build_log(self) -> Path:
        return self.root / "build.log"

    @property
    def network_log(self) -> Path:
        return self.root / "network.jsonl"

    @property
    def service_logs(self) -> Path:
        """What the containers beside the agent's wrote."""
        return self.root / "services"

    @property
    def network(self) -> Path:
        return self.root / "network.json"

    @property
    def exception(self) -> Path:
        return self.root / "exception.txt"

    def remove_copies(self) -> None:
        """Give back the space of what was copied out of the sandbox."""
        for folder in (self.root / "artifacts", self.root / "steps"):
            shutil.rmtree(folder, ignore_errors=True)
        for name in (PATCH, WORKSPACE):
            (self.root / name).unlink(missing_ok=True)

    def written_folders(self) -> list[Path]:
        """The folders in which files are written beside those that are copied out of the sandbox."""
        stages = [self.root, *(self.root / "steps").glob("*")]
        return [self.root, *(folder for stage in stages for folder in (stage / "agent", stage / "artifacts"))]

    def put_aside(self, execution: int) -> None:
        """Move what an execution left to executions/N/: the next one begins with an empty directory.

        Nothing is done where that has been done. Cut off in the middle, it can be called again: until all is moved,
        the folder's name has a dot before it.
        """
        target = self.root / EXECUTIONS / str(execution)
        if target.exists():
            return
        unfinished = target.with_name(f".{execution}")
        unfinished.mkdir(parents=True, exist_ok=True)
        # The result first: without it the trial counts as one that did not end, however much of it is here still.
        for path in sorted(self.root.iterdir(), key=lambda path: path != self.result):
            if path.name != EXECUTIONS:
                path.rename(unfinished / path.name)
        unfinished.rename(target)

    def folders(self, task_step: str | None = None) -> Folders:
        """Where the logs of the trial lie, or those of one TaskStep of a multi-step task."""
        return Folders(self.root / "steps" / task_step if task_step else self.root)
