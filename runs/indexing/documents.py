"""Finds a trial's trajectory documents: the main ones, continuations and sub-agents, beside them or embedded.

Reads files and makes unsaved rows; writes nothing.
"""

import posixpath
from dataclasses import dataclass, field

from runs.errors import TrajectoryInvalid
from runs.formats.trajectory_reader import ReadSubagentRef, ReadTrajectory, TrajectoryTotals, read_trajectory, totals
from runs.indexing.cleaning import clean_json, clean_name, clip
from runs.indexing.reader import Reader
from runs.indexing.stamps import STRAY_TRAJECTORY_FILES, TRAJECTORY_FILES, places
from runs.indexing.step_rows import StepRow, step_row
from runs.markers.derive import MarkerRow, markers_of
from runs.models import Trajectory

MAX_DOCUMENTS = 500
MAX_WARNINGS = 100
MAX_PATH_CHARS = 1024
Kind = Trajectory.Kind


@dataclass(slots=True)
class Document:
    """One trajectory, unsaved. `parent` is an earlier document; `is_main`: what it used is the trial's own use."""

    row: Trajectory
    steps: list[StepRow]
    parent: "Document | None"
    totals: TrajectoryTotals
    is_main: bool
    markers: list[MarkerRow]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file to be read: what it is to its parent, if another document named it."""

    path: str
    kind: Kind
    task_step: str
    parent: Document | None = None
    is_optional: bool = False


@dataclass(slots=True)
class DocumentFinder:
    """Collects the documents of one trial; every file is read once, whoever refers to it."""

    reader: Reader
    documents: list[Document] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def find(self) -> list[Document]:
        """All documents in reading order: of each TaskStep, then of the trial; only without any, strays.

        A trial that has one of its own beside TaskSteps is a critic's: its round of repair came after.
        """
        found = places(self.reader.root)
        if any((self.reader.root / name).is_file() for name in TRAJECTORY_FILES):
            found.sort(key=bool)
        for place in found:
            task_step = place.removeprefix("steps/").removesuffix("/")
            main = self._first(tuple(place + name for name in TRAJECTORY_FILES), task_step)
            if main is not None:
                self._beside(place + "agent", task_step, main)
        if not self.documents:
            self._first(STRAY_TRAJECTORY_FILES, "")
        return self.documents

    def _first(self, names: tuple[str, ...], task_step: str) -> Document | None:
        """The document of the first of `names` that can be read, with all that it leads to."""
        for name in names:
            n_before = len(self.documents)
            self._follow(_Wanted(name, Kind.MAIN, task_step))
            if len(self.documents) > n_before:
                return self.documents[n_before]
        return None

    def _beside(self, folder: str, task_step: str, main: Document) -> None:
        """Files named like continuations or sub-agents that no document refers to (older writers don't)."""
        names = sorted(path.name for path in (self.reader.root / folder).glob("trajectory.*.json"))
        for name in names[:MAX_DOCUMENTS]:
            kind = Kind.CONTINUATION if name.startswith("trajectory.cont") else Kind.SUBAGENT
            self._follow(_Wanted(f"{folder}/{name}", kind, task_step, main, is_optional=True))

    def _follow(self, first: _Wanted) -> None:
        """Read a file, then what it names, depth first: a continuation before the sub-agents."""
        pending = [first]
        while pending:
            wanted = pending.pop()
            if wanted.path in self._seen:
                _warn_of_cycle(wanted)
            elif len(self.documents) >= MAX_DOCUMENTS:
                self.reader.problem(wanted.path, f"only the first {MAX_DOCUMENTS} trajectories of a trial are read")
                return
            else:
                self._seen.add(wanted.path)
                pending.extend(reversed(self._read(wanted)))

    def _read(self, wanted: _Wanted) -> list[_Wanted]:
        """Add the document of one file; returns the files that it names."""
        data = self.reader.json(wanted.path)
        if data is None:
            if wanted.parent is not None and wanted.path not in self.reader.stamps:
                _warn(wanted.parent, f"{clean_name(wanted.path)}, which this trajectory refers to, does not exist")
            return []
        try:
            read = read_trajectory(data)
        except TrajectoryInvalid as error:
            if not wanted.is_optional:
                self.reader.problem(wanted.path, str(error))
            return []
        return self._add(read, wanted, fragment="")

    def _add(self, read: ReadTrajectory, wanted: _Wanted, fragment: str) -> list[_Wanted]:
        """Make the rows of a read document and of those embedded in it; returns the files that they name."""
        document = _document(read, wanted, fragment)
        self.documents.append(document)
        named: list[_Wanted] = []
        if read.continued_trajectory_ref:
            named += _resolved(read.continued_trajectory_ref, Kind.CONTINUATION, wanted, document)
        embedded = {subagent.trajectory_id for subagent in read.subagents}
        for ref in _refs(read):
            if ref.trajectory_path:
                named += _resolved(ref.trajectory_path, Kind.SUBAGENT, wanted, document)
            elif ref.trajectory_id and ref.trajectory_id not in embedded:
                _warn(document, f"sub-agent {ref.trajectory_id[:80]} is referred to and not embedded")
        for number, subagent in enumerate(read.subagents[: MAX_DOCUMENTS - len(self.documents)], start=1):
            inner = _Wanted(wanted.path, Kind.SUBAGENT, wanted.task_step, document)
            named += self._add(subagent, inner, fragment=self._fragment(wanted.path, subagent, number))
        return named

    def _fragment(self, path: str, subagent: ReadTrajectory, number: int) -> str:
        """The embedded document's id, made unique among those of its file."""
        identifier = clip(subagent.trajectory_id or f"subagent-{number}", 240)
        taken = {document.row.fragment for document in self.documents if document.row.path == clean_name(path)}
        return identifier if identifier not in taken else f"{identifier}~{len(taken)}"


def _document(read: ReadTrajectory, wanted: _Wanted, fragment: str) -> Document:
    parent = wanted.parent
    row = Trajectory(
        kind=wanted.kind,
        task_step=clip(clean_name(wanted.task_step), 255),
        path=clip(clean_name(wanted.path), MAX_PATH_CHARS),
        fragment=fragment,
        trajectory_id=clip(read.trajectory_id or "", 255),
        session_id=clip(read.session_id or "", 255),
        schema_version=clip(read.schema_version or "", 40),
        agent_name=clip(read.agent_name, 255),
        agent_version=clip(read.agent_version or "", 100),
        model_name=clip(read.model_name or "", 255),
        n_steps=len(read.steps),
        is_valid=read.valid,
        warnings=[clip(warning, 500) for warning in (*read.warnings, *read.errors)][:MAX_WARNINGS],
        final_metrics=clean_json(read.final_metrics) if read.final_metrics else None,
    )
    is_main = wanted.kind is Kind.MAIN or (wanted.kind is Kind.CONTINUATION and parent is not None and parent.is_main)
    markers = markers_of(read.steps, is_main=is_main)
    return Document(row, [step_row(step) for step in read.steps], parent, totals(read), is_main, markers)


def _refs(read: ReadTrajectory) -> list[ReadSubagentRef]:
    """The sub-agents that the steps refer to, each once, in order."""
    found: dict[tuple[str | None, str | None], ReadSubagentRef] = {}
    for step in read.steps:
        by_calls = (ref for call in step.tool_calls for ref in call.subagents)
        by_nobody = (ref for seen in step.observations for ref in seen.subagents)
        for ref in (*by_calls, *by_nobody):
            found.setdefault((ref.trajectory_id, ref.trajectory_path), ref)
    return list(found.values())[:MAX_DOCUMENTS]


def _resolved(reference: str, kind: Kind, wanted: _Wanted, document: Document) -> list[_Wanted]:
    """The file that a document names, as a path below the trial; none, with a warning, if it lies elsewhere."""
    folder = posixpath.dirname(wanted.path)
    # An absolute path is one inside the sandbox, where agent/ was /logs/agent: the file lies beside the document.
    name = posixpath.basename(reference) if reference.startswith("/") else reference
    path = posixpath.normpath(posixpath.join(folder, name))
    if "://" in reference or path.startswith("../") or len(path) > MAX_PATH_CHARS or path == folder:
        _warn(document, f"{reference[:200]} is not a file of this trial and is not followed")
        return []
    return [_Wanted(path, kind, wanted.task_step, document)]


def _warn_of_cycle(wanted: _Wanted) -> None:
    """A document that names itself or one that led to it; naming a sub-agent many times over is usual."""
    ancestor = wanted.parent
    while ancestor is not None:
        if ancestor.row.path == clean_name(wanted.path) and wanted.parent is not None:
            _warn(wanted.parent, f"it refers back to {ancestor.row.path}, which led to it: not followed")
            return
        ancestor = ancestor.parent


def _warn(document: Document, text: str) -> None:
    warnings: list[str] = document.row.warnings
    if len(warnings) < MAX_WARNINGS:
        warnings.append(clip(text, 500))
