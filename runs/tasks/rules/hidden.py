"""Rules on what the agent must not see, tests and solution, and on what the build copies."""

import hashlib
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Final

from runs.tasks.dockerfile import Instruction
from runs.tasks.findings import Finding, Rule
from runs.tasks.sources import TaskSources

TESTS_IN_IMAGE: Final = Rule("tests-in-image", "warning", "a test file that is copied into the agent's image")
SOLUTION_IN_IMAGE: Final = Rule("solution-in-image", "warning", "a solution file that is copied into the agent's image")
MISSING_SOURCE: Final = Rule("missing-copy-source", "warning", "a COPY of something that the build context lacks")
NO_SOLUTION: Final = Rule("no-solution", "warning", "a task without solve.sh, which nobody can prove solvable")

RULES: Final = (TESTS_IN_IMAGE, SOLUTION_IN_IMAGE, MISSING_SOURCE, NO_SOLUTION)

# A pristine copy of the agent's files beside the tests is no leak; a file that judges or answers is.
_JUDGES: Final = re.compile(
    r"(?:test|check|grad|verif|expect|answer|solution|solve|oracle|hidden|reference)", re.IGNORECASE
)
_HIDDEN_FOLDERS: Final = frozenset({"solution", "solutions", "oracle"})
_MIN_BYTES: Final = 8
_MAX_BYTES: Final = 16 * 1024 * 1024


def check_leaks(sources: TaskSources) -> Iterator[Finding]:
    """Files of the agent's build context that equal a file that judges or answers, where the build copies them."""
    context = sources.task.environment_dir
    copies = [found for found in sources.instructions_of_agent() if found.name in ("COPY", "ADD")]
    if not copies:
        return
    hidden = _hidden_files(sources)
    sizes = {size for size, _ in hidden}
    for path in sources.files_in(context):
        size = path.stat().st_size
        if size not in sizes:
            continue
        secret, rule = hidden.get((size, _digest(path)), (None, TESTS_IN_IMAGE))
        line = next((found.line for found in copies if _covers(found, path.relative_to(context))), None)
        if secret is None or line is None or not _tells(secret, path.relative_to(context)):
            continue
        message = (
            f"{sources.relative(path)} is the same file as {sources.relative(secret)}, and line {line} of the "
            "Dockerfile copies it into the agent's image"
        )
        yield rule.at(sources.relative(path), None, message)


def check_copies(sources: TaskSources) -> Iterator[Finding]:
    """COPY and ADD of plain names that are not there: the build fails, or takes what was never meant to be copied."""
    for context in sources.contexts():
        for found in sources.instructions(context):
            if found.name not in ("COPY", "ADD") or "--from" in found.flags:
                continue
            for source in _copied(found):
                if not _is_there(context, source):
                    place = f"{sources.relative(context)}/"
                    message = f"{source!r} is copied and is not in the build context {place}: the build fails"
                    yield MISSING_SOURCE.at(sources.relative(context / "Dockerfile"), found.line, message)


def check_solution(sources: TaskSources) -> Iterator[Finding]:
    """Stages without a solution."""
    task = sources.task
    script = "solve.bat" if task.config.environment.os == "windows" else "solve.sh"
    shared = (task.solution_dir / script).is_file()
    lacking = [step.name for step in task.steps if not (shared or (step.directory / "solution" / script).is_file())]
    if lacking or not (task.steps or shared):
        where = f" for step {', '.join(lacking)}" if lacking else ""
        yield NO_SOLUTION.at(None, None, f"there is no solution/{script}{where}: nobody can prove the task solvable")


def _hidden_files(sources: TaskSources) -> dict[tuple[int, str], tuple[Path, Rule]]:
    """Test and solution files by size and digest, each with the rule that a copy of it breaks."""
    found: dict[tuple[int, str], tuple[Path, Rule]] = {}
    folders = [(folder, TESTS_IN_IMAGE) for folder in sources.test_folders()]
    folders += [(folder, SOLUTION_IN_IMAGE) for folder in sources.solution_folders()]
    for folder, rule in folders:
        for path in sources.files_in(folder):
            size = path.stat().st_size
            if _MIN_BYTES <= size <= _MAX_BYTES:
                found.setdefault((size, _digest(path)), (path, rule))
    return found


def _tells(secret: Path, copy: PurePosixPath | Path) -> bool:
    """Whether the hidden file judges or answers, and is not part of a tree that lies in both places alike."""
    if _HIDDEN_FOLDERS & {part.lower() for part in copy.parts[:-1]}:
        return True
    is_same_tree = len(copy.parts) > 1 and secret.parts[-len(copy.parts) :] == copy.parts and copy.parts[0] != "tests"
    return bool(_JUDGES.match(secret.name)) and not is_same_tree


def _copied(instruction: Instruction) -> list[str]:
    """The sources of a COPY that can be judged: no variables, patterns, addresses or here-documents."""
    sources = instruction.words()[:-1]
    return [source for source in sources if not re.search(r"[$*?\[<]|://|^git@", source)]


def _covers(instruction: Instruction, path: Path) -> bool:
    if "--from" in instruction.flags:
        return False
    for source in instruction.words()[:-1]:
        plain = source.removeprefix("/").removeprefix("./").rstrip("/")
        if plain in ("", ".") or fnmatch(path.as_posix(), plain) or fnmatch(path.as_posix(), f"{plain}/*"):
            return True
    return False


def _is_there(context: Path, source: str) -> bool:
    try:
        inside = (context / source.lstrip("/")).resolve()
        return inside.is_relative_to(context.resolve()) and inside.exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _digest(path: Path) -> str:
    """The digest of a file, or of its name where it cannot be read: then it equals nothing."""
    if path.stat().st_size > _MAX_BYTES:
        return str(path)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return str(path)


CHECKS: Final = (check_leaks, check_copies, check_solution)
