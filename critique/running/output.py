"""What a critic left in its sandbox: brought home within limits, read strictly, kept also when it is broken."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from critique.formats.contract import MAX_RESULT_BYTES, RESULT_FILE, CritiqueResult
from critique.formats.reading import ContractBroken, parse_result
from runs.errors import AgentFailed, FileUnreadable
from runs.formats.reading import read_text
from runs.sandboxes.base import ARTIFACTS, Sandbox
from runs.sandboxes.extraction import ExtractionLimitReached, ExtractionLimits, SourceMissing
from runs.trial.record import TrialRecord

LIMITS: Final = ExtractionLimits(size_bytes=64 * 1024 * 1024, members=2_000, depth=16)
OF_RESULT: Final = ExtractionLimits(size_bytes=MAX_RESULT_BYTES, members=1, depth=1)
BEFORE_REPAIR: Final = "critique-result.before.json"
PLACE: Final = f"{ARTIFACTS}/{RESULT_FILE}"


class CritiqueInvalid(AgentFailed):
    """The critic's output is not what it was asked for, also after it was told what is wrong with it."""


async def bring_output_home(sandbox: Sandbox, target: Path, record: TrialRecord) -> None:
    """Put what the critic wrote into `target`, in the place of what was there. Never more than LIMITS."""
    _make_anew(target)
    try:
        extraction = await sandbox.download(ARTIFACTS, target, limits=LIMITS)
        for refused in extraction.refused:
            record.log(f"output {refused.name!r} refused: {refused.reason}")
    except SourceMissing as missing:
        record.log(str(missing))
    except ExtractionLimitReached as error:
        record.warn(f"of the critic's output only {RESULT_FILE} is kept: {error}")
        _make_anew(target)
        with suppress(SourceMissing, ExtractionLimitReached):
            await sandbox.download(PLACE, target / RESULT_FILE, limits=OF_RESULT)


def _make_anew(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def read_output(folder: Path, schema: Mapping[str, Any] | None) -> CritiqueResult:
    """The result in a folder of artifacts, by the contract and the rubric's schema. Raises ContractBroken."""
    path = folder / RESULT_FILE
    if path.is_symlink():
        raise ContractBroken([f"{PLACE} is a link: write the file itself"])
    if not path.exists():
        raise ContractBroken([f"there is no {PLACE}"])
    try:
        text = read_text(path, MAX_RESULT_BYTES, within=folder)
    except FileUnreadable as error:
        raise ContractBroken([f"{PLACE}: {error.reason}"]) from None
    return parse_result(text.encode(), schema)


def keep_broken(folder: Path, target: Path) -> None:
    """Keep the output that is about to be corrected, where there is one."""
    path = folder / RESULT_FILE
    if path.is_file() and not path.is_symlink():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / BEFORE_REPAIR)
