"""What a reader wants to see of a trajectory, as the address says it: only some steps, some parts left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict

from runs.models import Marker, Step
from runs.queries import Reader

# Tools that change files, as agents name them; what changes files in a shell, and other spellings, markers know.
_EDITING: Final = (
    r"(^| )(edit|multiedit|multi_edit|notebookedit|write|write_file|create|create_file|apply_patch|patch|replace"
    r"|search_replace|str_replace|strreplace|str_replace_editor|str_replace_based_edit_tool|edit_file|insert"
    r"|insert_edit_into_file|update_file|delete_file)( |$)"
)


SHOWS: Final[Mapping[str, str]] = {
    "all": "All steps",
    "messages": "Messages",
    "edits": "Edits",
    "tests": "Test runs",
    "errors": "Errors",
}
# What a step's own columns tell; what its markers tell besides, those that the reader may see.
_OWN: Final[Mapping[str, Q]] = {
    "all": Q(),
    "messages": Q(has_message=True, is_copied_context=False),
    "edits": Q(tool_names__iregex=_EDITING),
    "tests": Q(pk__in=[]),
    "errors": Q(has_error=True),
}
_MARKED: Final[Mapping[str, Marker.Kind]] = {
    "edits": Marker.Kind.EDIT,
    "tests": Marker.Kind.TEST,
    "errors": Marker.Kind.ERROR,
}
HIDES: Final[Mapping[str, str]] = {"output": "Tool output", "reasoning": "Reasoning"}


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which steps are shown (a key of SHOWS), and which parts of them are not (keys of HIDES)."""

    show: str = "all"
    hidden: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: QueryDict) -> "Narrowing":
        """As an address says it; words that are not known are passed over."""
        show = query.get("show", "all")
        wanted = query.getlist("hide")
        return cls(show if show in SHOWS else "all", tuple(name for name in HIDES if name in wanted))

    def steps(self, steps: QuerySet[Step], reader: Reader) -> QuerySet[Step]:
        """Those of `steps` that are shown, by what `reader` may see of them."""
        wanted = _OWN[self.show]
        if kind := _MARKED.get(self.show):
            markers = Marker.objects.visible_to(reader).filter(kind=kind)
            wanted |= Q(Exists(markers.filter(trajectory=OuterRef("trajectory"), index=OuterRef("index"))))
        return steps.filter(wanted)

    def parameters(self) -> dict[str, str | list[str]]:
        """What brings this narrowing back in an address; nothing where all is shown."""
        shown = {} if self.show == "all" else {"show": self.show}
        return shown | ({"hide": list(self.hidden)} if self.hidden else {})

    def with_show(self, show: str) -> "Narrowing":
        """The same parts of other steps."""
        return Narrowing(show, self.hidden)

    def toggled(self, part: str) -> "Narrowing":
        """The same with one part hidden that was not, or shown that was hidden."""
        hidden = set(self.hidden) ^ {part}
        return Narrowing(self.show, tuple(name for name in HIDES if name in hidden))
