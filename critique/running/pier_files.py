"""The files of a critique beside those of a trial: critique.json, and Pier's, under its names and with its keys."""

import json
import shutil
from asyncio import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from critique.formats.records import (
    ITEM_CONFIG,
    LOG,
    MANIFEST,
    METADATA,
    RECORD,
    CritiqueMetadata,
    CritiqueRecord,
    config_file,
    dump_record,
    manifest_of,
)
from critique.running.output import CritiqueInvalid
from runs.agents.registry import agent_name
from runs.files import write_atomically
from runs.formats.result import ExceptionInfo, TrialResult, model_info_of
from runs.indexing.columns import label_of
from runs.trial.directory import TrialDirectory
from runs.trial.plan import TrialPlan

if TYPE_CHECKING:
    from critique.running.life import Assignment, Findings

MAX_FAILURE_CHARS = 2_000


def write_files(plan: TrialPlan, assignment: "Assignment", findings: "Findings", result: TrialResult) -> None:
    """Write all of them. The trial's own result.json comes last, so that nothing of a critique that has one lacks."""
    directory = TrialDirectory(plan.directory)
    item, folders = assignment.item, directory.folders()
    folders.make()
    lines = [line.model_dump() for line in manifest_of(folders.artifacts)]
    write_atomically(folders.artifacts / MANIFEST, json.dumps(lines, indent=2))
    write_atomically(directory.root / ITEM_CONFIG, dump_record(config_file(assignment.config, critic=item.critic)))
    write_atomically(directory.root / METADATA, dump_record(metadata_of(plan, assignment, result)))
    write_atomically(directory.root / RECORD, dump_record(record_of(assignment, findings, result)))
    _same_file(directory.log, directory.root / LOG)


def metadata_of(plan: TrialPlan, assignment: "Assignment", result: TrialResult) -> CritiqueMetadata:
    """Pier's summary of the critique."""
    item = assignment.item
    shared = {name: getattr(result, name) for name in CritiqueMetadata.model_fields if hasattr(result, name)}
    return CritiqueMetadata(
        **shared,
        source_trial_name=item.source_name,
        critique_trial_name=plan.name,
        source_trial_uri=(item.source or item.task).resolve().as_uri(),
        critique_trial_uri=result.trial_uri,
    )


def record_of(assignment: "Assignment", findings: "Findings", result: TrialResult) -> CritiqueRecord:
    """critique.json."""
    item, config, failure = assignment.item, assignment.config, result.exception_info
    critic = config.critics[item.critic - 1]
    model = model_info_of(critic.model_name)
    rubric = assignment.rubric
    return CritiqueRecord(
        run_name=config.run_name,
        name=item.name,
        subject=item.subject,
        source_dir=config.source_dir,
        source_name=item.source_name,
        critic=item.critic,
        critic_label=label_of(agent_name(critic), model.name if model else ""),
        sample=item.sample,
        seed=assignment.seed,
        rubric=rubric.label if rubric else None,
        parent=config.parent,
        question=config.question,
        outcome=_outcome(findings, failure.exception_type if failure else ""),
        failure=_failure(failure) if failure and not findings.result else "",
        problems=findings.problems,
        partial=findings.partial,
        notes=findings.notes,
        digests=_digests(findings, result),
    )


def _digests(findings: "Findings", result: TrialResult) -> dict[str, Any]:
    """With what is known only of a critic that was started."""
    known = {
        "image": result.image.id if result.image else "",
        "agent": f"{result.agent_info.name} {result.agent_info.version}",
    }
    return findings.digests.model_copy(update=known).model_dump(mode="json")


def _failure(info: ExceptionInfo) -> str:
    """Why there is no valid result, also where the exception had nothing to say."""
    if info.exception_type == CancelledError.__name__:
        return "the critic was cancelled before it ended"
    return info.exception_message[:MAX_FAILURE_CHARS] or f"the critic ended with {info.exception_type}"


def _outcome(findings: "Findings", failure: str) -> Literal["valid", "repaired", "invalid", "failed"]:
    if findings.result:
        return "repaired" if findings.was_repaired else "valid"
    return "invalid" if failure == CritiqueInvalid.__name__ else "failed"


def _same_file(source: Path, target: Path) -> None:
    """One log under both names."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
