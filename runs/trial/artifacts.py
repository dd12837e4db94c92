"""What is taken out of the sandbox before it goes: collect hooks, declared artifacts, the manifest."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from runs.errors import SandboxFailed
from runs.files import write_atomically
from runs.formats.task import ArtifactConfig, CollectHook
from runs.sandboxes.base import ARTIFACTS, TESTS, Sandbox, first_bytes
from runs.sandboxes.compose.model import MAIN
from runs.trial.record import TrialRecord

MANIFEST = "manifest.json"
PRE_ARTIFACTS = "pre_artifacts.sh"
PRE_ARTIFACTS_SEC = 300.0


@dataclass(frozen=True, slots=True)
class Collected:
    """One line of artifacts/manifest.json, in the shape that Pier and Harbor read."""

    source: str
    destination: str
    type: str
    status: str
    service: str = "main"


async def run_pre_artifacts(sandbox: Sandbox, script: Path, record: TrialRecord) -> None:
    """Run the task's pre_artifacts.sh, the older form of a collect hook. Its failure is logged, as in Pier."""
    if script.is_file():
        # A folder that every sandbox has, and that is emptied before the tests come in.
        await sandbox.upload(script, f"{TESTS}/{PRE_ARTIFACTS}")
        hook = CollectHook(command=f"bash {TESTS}/{PRE_ARTIFACTS}", timeout_sec=PRE_ARTIFACTS_SEC)
        await run_collect_hooks(sandbox, [hook], record)


async def run_collect_hooks(sandbox: Sandbox, hooks: Iterable[CollectHook], record: TrialRecord) -> None:
    """Run the task's hooks in order. A hook that fails is logged: what it should have collected will be missing."""
    # Those of main come first, as in Harbor; they may ask the services for something.
    for hook in sorted(hooks, key=lambda hook: hook.service != MAIN):
        output = bytearray()
        try:
            async with asyncio.timeout(hook.timeout_sec):
                part = sandbox.part(hook.service)
                result = await part.exec(hook.command, user=hook.user, on_output=first_bytes(output))
        except TimeoutError:
            record.log(f"collect hook stopped after {hook.timeout_sec:g} s: {hook.command}")
            continue
        except SandboxFailed as error:
            # A service may have no shell, or may have ended; without main there is nothing left to judge.
            if hook.service == MAIN:
                raise
            record.log(f"collect hook of service {hook.service!r} not run: {error}")
            continue
        if result.exit_code:
            words = bytes(output[-1000:]).decode(errors="replace").strip()
            record.log(f"collect hook ended with {result.exit_code}: {hook.command}: {words}")


async def collect_artifacts(
    sandbox: Sandbox, artifacts: Sequence[ArtifactConfig], target: Path, record: TrialRecord
) -> list[Collected]:
    """Copy /logs/artifacts and then each declared artifact below `target`, and write the manifest there.

    A missing or refused artifact is a line of the manifest, never an exception; two that claim the same place are
    told apart by their order: the first wins.
    """
    collected = [await _collect(sandbox, ArtifactConfig(source=ARTIFACTS), "", target, record)]
    taken: set[str] = set()
    for artifact in artifacts:
        if PurePosixPath(artifact.source) == PurePosixPath(ARTIFACTS):
            continue
        place = _destination(artifact)
        if place in taken:
            record.log(f"artifact {artifact.source} skipped: {place} is taken by an earlier one")
            collected.append(Collected(artifact.source, f"artifacts/{place}", "file", "skipped", artifact.service))
            continue
        taken.add(place)
        collected.append(await _collect(sandbox, artifact, place, target, record))
    write_atomically(target / MANIFEST, json.dumps([asdict(line) for line in collected], indent=2))
    return collected


def _destination(artifact: ArtifactConfig) -> str:
    """Where an artifact goes below artifacts/: what it says, else the last name of its source, as in Pier."""
    wanted = artifact.destination if artifact.destination is not None else PurePosixPath(artifact.source).name
    parts = [part for part in PurePosixPath(wanted.lstrip("/")).parts if part not in (".", "..")]
    return "/".join(parts)


async def _collect(
    sandbox: Sandbox, artifact: ArtifactConfig, place: str, target: Path, record: TrialRecord
) -> Collected:
    destination = target / place if place else target
    shown = f"artifacts/{place}".rstrip("/")
    try:
        part = sandbox.part(artifact.service)
        extraction = await part.download(artifact.source, destination, exclude=artifact.exclude)
    except SandboxFailed as error:
        record.log(f"artifact {artifact.source} not collected: {error}")
        return Collected(artifact.source, shown, "file", "failed", artifact.service)
    for refused in extraction.refused:
        record.log(f"artifact {artifact.source}: {refused.name!r} refused: {refused.reason}")
    kind = "directory" if extraction.is_directory else "file"
    status = "empty" if extraction.is_directory and not extraction.n_files else "ok"
    return Collected(artifact.source, shown, kind, status, artifact.service)


async def restore_artifacts(sandbox: Sandbox, collected: Sequence[Collected], target: Path) -> None:
    """Put what was collected back at its original paths, in the sandbox of a separate verifier."""
    for line in collected:
        if line.status == "ok" and line.source != ARTIFACTS:
            await sandbox.upload(target.parent / line.destination, line.source)
        elif line.status == "ok":
            await sandbox.upload(target, ARTIFACTS)
