"""What the agent left: `changes.patch` and `workspace.tar.zst`, taken once its processes are dead. Never fails a trial.

The engine reads the files. Only `git diff` runs in the sandbox, with a repository configuration of ours: hooks, filters
and helpers that were planted in the agent's repository have no effect. Nothing is unpacked or followed on this machine.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Final

import zstandard

from runs.errors import SandboxFailed
from runs.files import is_disk_full
from runs.formats.result import FinalState
from runs.sandboxes.base import Sandbox, Stream, first_bytes
from runs.sandboxes.trees import Change, FileEntry, entries_in, file_entry
from runs.trial.directory import WORKSPACE
from runs.trial.patches import file_patch

CAPTURE_SEC: Final = 120.0
GIT_SEC: Final = 30.0
MAX_WORKSPACE_BYTES: Final = 2 * 1024**3
MAX_PATCH_BYTES: Final = 16 * 1024**2
MAX_PATCH_FILES: Final = 2_000
# Of the image, and outside the working directory, files are read one by one.
MAX_SINGLE_FILES: Final = 100
# Hidden folders of a home in which tests may find what was installed.
HOME_PROGRAMS: Final = frozenset(
    {(".local", "bin"), (".local", "lib")}
    | {(name,) for name in (".bun", ".cargo", ".deno", ".gem", ".m2", ".npm-global", ".nvm", ".pyenv", ".rustup")}
)
# Each takes the engine 40 ms.
MAX_PROBED: Final = 10
ZSTD_LEVEL: Final = 3
READ_BYTES: Final = 256 * 1024

# What the runner itself puts there, what no program takes for a result, and noise.
LEFT_OUT: Final = (
    *("/logs", "/tests", "/solution", "/tmp", "/var/tmp", "/proc", "/sys", "/dev", "/run"),  # noqa: S108 - not written
    *("/usr/sbin/docker-init", "/.dockerenv", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab"),
    *("/var/cache", "/var/log", "/var/lib/apt", "/var/lib/dpkg", "/root/.cache"),
)
LEFT_OUT_NAMES: Final = frozenset({".git", "__pycache__", ".pytest_cache"})

# $1 the repository's working directory, $2 the commit. A git directory of ours with the agent's objects: no
# configuration, hook, filter or index of the agent's counts.
GIT_DIFF: Final = """
set -e
cd "$1"; start="$2"; own=$(mktemp -d); trap 'rm -rf "$own"' EXIT
mkdir "$own/objects" "$own/refs"; echo "ref: refs/heads/none" > "$own/HEAD"
export GIT_DIR="$own" GIT_WORK_TREE="$1" GIT_INDEX_FILE="$own/index" GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_OBJECT_DIRECTORY="$own/objects" GIT_ALTERNATE_OBJECT_DIRECTORIES="$1/.git/objects" HOME="$own"
export GIT_OPTIONAL_LOCKS=0 GIT_ATTR_NOSYSTEM=1 LC_ALL=C
git read-tree "$start"
git ls-files -z --cached --others --exclude-standard | git update-index -z --add --remove --stdin
git diff --cached --binary --no-ext-diff --no-textconv --no-color --ignore-submodules=all "$start" > "$own/patch"
head -c LIMIT "$own/patch"
"""


@dataclass(frozen=True, slots=True)
class StateFiles:
    """Where the final state is put: the patch of this stage, the workspace of the trial (a later one replaces it)."""

    patch: Path
    workspace: Path


@dataclass(slots=True)
class Written:
    """A patch as it was put together."""

    base: str
    commit: str | None = None
    n_files: int | None = None
    n_left_out: int = 0
    is_cut: bool = False


async def capture_final_state(
    sandbox: Sandbox, files: StateFiles, *, laid: Path | None = None, log: Callable[[str], None]
) -> FinalState:
    """Write both files, as far as they can be had, and say what they are. Only a full disk is raised.

    `laid` is a folder whose files were laid into the working directory at the start: they are no changes.
    """
    state = FinalState()
    try:
        async with asyncio.timeout(CAPTURE_SEC):
            await _capture(sandbox, files, laid, state)
    except TimeoutError:
        state.notes.append(f"not complete after {CAPTURE_SEC:g} s")
    except (SandboxFailed, OSError, zstandard.ZstdError) as error:
        if is_disk_full(error):
            raise
        state.notes.append(f"not complete: {error}")
    for note in state.notes:
        log(f"final state: {note}")
    return state


async def _capture(sandbox: Sandbox, files: StateFiles, laid: Path | None, state: FinalState) -> None:
    workdir = await sandbox.working_directory()
    state.workdir = workdir
    changes = await sandbox.changes()
    if PurePosixPath(workdir) == PurePosixPath("/"):
        state.notes.append(f"no {WORKSPACE}: the working directory is /")
    else:
        await _save_workspace(sandbox, workdir, files.workspace, state)
    has_workspace = state.workspace_size_bytes is not None
    head = f"{workdir.rstrip('/')}/.git/HEAD"
    is_repository = bool(changes) and await sandbox.files([head])
    written = await _git_patch(sandbox, workdir, files.patch) if is_repository else None
    if written is None and changes is not None:
        source = files.workspace if has_workspace else None
        written = await _file_system_patch(sandbox, workdir, changes, files.patch, source, laid)
    if written and written.base == "git":
        state.n_changed_outside = await _n_changed_outside(sandbox, workdir, changes or [])
    if written:
        state.patch_base, state.patch_commit = written.base, written.commit
        state.patch_size_bytes = files.patch.stat().st_size
        state.n_changed_files, state.n_left_out, state.is_cut = written.n_files, written.n_left_out, written.is_cut


class _Packer:
    """Compresses a stream into a temporary file until the limit; usable from the thread that reads the stream."""

    def __init__(self, path: Path) -> None:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self.temporary, self._path = Path(name), path
        self._file = os.fdopen(descriptor, "wb")
        self._writer = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).stream_writer(self._file)
        self._lock, self._is_open = Lock(), True
        self.n_bytes, self.is_over = 0, False

    def receive(self, data: bytes) -> bool:
        with self._lock:
            self.n_bytes += len(data)
            self.is_over = self.is_over or self.n_bytes > MAX_WORKSPACE_BYTES
            if not self._is_open or self.is_over:
                return False
            self._writer.write(data)
            return True

    def finish(self) -> int:
        """Put the file in its place; returns its size."""
        with self._lock:
            self._is_open = False
            self._writer.close()  # type: ignore[no-untyped-call]  # stub lacks types
        self.temporary.chmod(0o644)
        self.temporary.replace(self._path)
        return self._path.stat().st_size

    def discard(self) -> None:
        with self._lock:
            self._is_open = False
            self._file.close()
        self.temporary.unlink(missing_ok=True)


async def _save_workspace(sandbox: Sandbox, workdir: str, path: Path, state: FinalState) -> None:
    packer = _Packer(path)
    # One of an earlier stage would not be the end's.
    path.unlink(missing_ok=True)
    try:
        await sandbox.save(workdir, packer.receive)
        if packer.is_over:
            state.notes.append(f"no {WORKSPACE}: {workdir} has more than {MAX_WORKSPACE_BYTES // 1024**2} MiB")
            return
        state.workspace_size_bytes = await asyncio.to_thread(packer.finish)
        state.workspace_tar_bytes = packer.n_bytes
    except SandboxFailed as error:
        state.notes.append(f"no {WORKSPACE}: {error}")
    finally:
        packer.discard()


def workspace_chunks(path: Path) -> Iterator[bytes]:
    """The tar in a workspace file, piece by piece, never more than was allowed to go in."""
    n_bytes = 0
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        while n_bytes <= MAX_WORKSPACE_BYTES and (chunk := reader.read(READ_BYTES)):
            n_bytes += len(chunk)
            yield chunk


async def _git_patch(sandbox: Sandbox, workdir: str, target: Path) -> Written | None:
    """`git diff` against the commit that the image has, untracked files included; None where that cannot be had."""
    commit = await _start_commit(sandbox, workdir)
    if commit is None:
        return None
    patch, words = bytearray(), bytearray()
    keep_words = first_bytes(words)

    def on_output(stream: Stream, data: bytes) -> None:
        if stream == "stdout":
            patch.extend(data[: MAX_PATCH_BYTES + 1 - len(patch)])
        else:
            keep_words(stream, data)

    script = f"set -- {_quoted(workdir)} {commit}\n{GIT_DIFF.replace('LIMIT', str(MAX_PATCH_BYTES + 1))}"
    try:
        async with asyncio.timeout(GIT_SEC):
            result = await sandbox.exec(script, user="root", cwd="/", on_output=on_output)
    except TimeoutError:
        return None
    if result.exit_code:
        return None
    await asyncio.to_thread(target.write_bytes, patch[:MAX_PATCH_BYTES])
    n_files = bytes(patch[:13]).count(b"diff --git a/") + patch.count(b"\ndiff --git ")
    return Written("git", commit=commit, n_files=n_files, is_cut=len(patch) > MAX_PATCH_BYTES)


async def _n_changed_outside(sandbox: Sandbox, workdir: str, changes: list[Change]) -> int:
    """How many changes outside the working directory a program could depend on; settings of tools are none."""
    inside = f"{workdir.rstrip('/')}/"
    outside = [
        change
        for change in _files_of(changes)
        if not f"{change.path}/".startswith(inside) and not is_setting(change.path)
    ]
    if len(outside) > MAX_PROBED:
        return len(outside)
    # A folder in which nothing was left is listed too.
    kept = [change.path for change in outside if change.kind != "deleted"]
    there = await sandbox.files(kept) if kept else {}
    n_kept = sum(any(f"{found}/".startswith(f"{path}/") for found in there) for path in kept)
    return len(outside) - len(kept) + n_kept


def is_setting(path: str) -> bool:
    """Whether a path is hidden in somebody's home, where tools and agents keep their own things; programs are not."""
    parts = PurePosixPath(path).parts[1:]
    below = parts[1:] if parts[:1] == ("root",) else parts[2:] if parts[:1] == ("home",) else ()
    is_program = below[:1] in HOME_PROGRAMS or below[:2] in HOME_PROGRAMS
    return bool(below) and below[0].startswith(".") and not is_program


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


async def _start_commit(sandbox: Sandbox, workdir: str) -> str | None:
    """The commit that HEAD names in the image: what the agent did to its branches does not matter."""
    git = f"{workdir.rstrip('/')}/.git"
    first = await sandbox.originals([f"{git}/HEAD", f"{git}/packed-refs", f"{git}/refs/heads"])
    texts = {path: (entry.data or b"").decode(errors="replace") for path, entry in first.items()}
    head = texts.get(f"{git}/HEAD", "").strip()
    if head.startswith("ref: "):
        name = head.removeprefix("ref: ")
        packed = (line.split(" ") for line in texts.get(f"{git}/packed-refs", "").splitlines())
        by_name = {line[1]: line[0] for line in packed if len(line) == 2}
        head = texts.get(f"{git}/{name}", by_name.get(name, "")).strip()
    is_commit = len(head) in (40, 64) and set(head) <= set("0123456789abcdef")
    return head if is_commit else None


async def _file_system_patch(
    sandbox: Sandbox, workdir: str, changes: list[Change], target: Path, workspace: Path | None, laid: Path | None
) -> Written:
    """What the engine says has changed, as a patch of the root directory; the working directory's files come first."""
    inside = f"{workdir.rstrip('/')}/"
    changed = {change.path: change for change in _files_of(changes)}
    paths = sorted(changed, key=lambda path: (not path.startswith(inside), path))
    wanted = set(paths[:MAX_PATCH_FILES])
    now: dict[str, FileEntry] = {}
    if workspace:
        parent = str(PurePosixPath(workdir).parent)
        reading = entries_in(workspace_chunks(workspace), parent, lambda path: path in wanted)
        now.update(await asyncio.to_thread(_within_memory, reading))
    kept = [path for path in paths if path in wanted and changed[path].kind != "deleted"]
    single = [path for path in kept if not (workspace and path.startswith(inside))]
    if single:
        now.update(await sandbox.files(single[:MAX_SINGLE_FILES]))
    older = [path for path in paths if path in wanted and changed[path].kind != "added"]
    before = await sandbox.originals(older[:MAX_SINGLE_FILES]) if older else {}
    unread = {*single[MAX_SINGLE_FILES:], *older[MAX_SINGLE_FILES:]}
    if laid:
        before |= await asyncio.to_thread(_laid_entries, laid, inside, wanted)
    return await asyncio.to_thread(_write_patch, target, paths, wanted - unread, before, now)


def _write_patch(
    target: Path, paths: list[str], readable: set[str], before: dict[str, FileEntry], now: dict[str, FileEntry]
) -> Written:
    written = Written("filesystem", n_files=0)
    written.n_left_out = sum(path not in readable for path in paths)
    n_bytes = 0
    with target.open("wb") as file:
        # A deleted folder is one path of the change list and many files of the image.
        for path in dict.fromkeys([*(path for path in paths if path in readable), *before]):
            piece = file_patch(path.lstrip("/"), before.get(path), now.get(path))
            if n_bytes + len(piece) > MAX_PATCH_BYTES:
                written.is_cut = True
                written.n_left_out += 1
                continue
            n_bytes += len(piece)
            written.n_files = (written.n_files or 0) + bool(piece)
            file.write(piece)
    return written


def _files_of(changes: list[Change]) -> Iterator[Change]:
    """The changes without those of folders around other changes, and without what is never part of a result."""
    folders = {str(parent) for change in changes for parent in PurePosixPath(change.path).parents}
    for change in changes:
        is_left_out = any(change.path == place or change.path.startswith(f"{place}/") for place in LEFT_OUT)
        if change.path not in folders and not is_left_out and not LEFT_OUT_NAMES & set(change.path.split("/")):
            yield change


def _within_memory(entries: Iterator[tuple[str, FileEntry]]) -> dict[str, FileEntry]:
    """Entries until they have more content than could go into a patch, twice; later ones are as good as too large."""
    found: dict[str, FileEntry] = {}
    n_bytes = 0
    for path, entry in entries:
        n_bytes += len(entry.data or b"")
        found[path] = entry if n_bytes <= 2 * MAX_PATCH_BYTES else FileEntry(entry.mode, None)
    return found


def _laid_entries(laid: Path, inside: str, wanted: set[str]) -> dict[str, FileEntry]:
    found: dict[str, FileEntry] = {}
    for path in wanted:
        if path.startswith(inside):
            with suppress(OSError, ValueError):
                if entry := file_entry(laid / path.removeprefix(inside)):
                    found[path] = entry
    return found
