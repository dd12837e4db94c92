"""Rubrics: the list, each version with what is new in it, and publishing another version."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import tomli_w
from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from critique.models import Rubric
from critique.queries import get_rubric_for, rubrics_of, versions_of
from critique.rubrics.loading import publish_text
from critique.views.plans import make_builtins, person
from critique.views.trial import number_in
from pier_site.accounts.models import Project
from pier_site.accounts.visibility import may_run, projects_of
from runs.errors import InputInvalid

MAX_TEXT_CHARS = 300_000
# Lines that are shown around a change; a diff of more lines than are shown says so.
CONTEXT_LINES = 3
MAX_DIFF_LINES = 2_000


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of a comparison: `sign` is +, -, a space, or @ where lines are left out."""

    sign: str
    text: str


class RubricForm(forms.Form):
    """A rubric as its file has it."""

    project = forms.ModelChoiceField(queryset=Project.objects.none(), label="Project", empty_label=None)
    text = forms.CharField(
        label="Rubric, in TOML", max_length=MAX_TEXT_CHARS, strip=False, widget=forms.Textarea(attrs={"rows": 30})
    )


@require_safe
def rubric_list(request: HttpRequest) -> HttpResponse:
    """The rubrics that the reader may use, the newest version of each."""
    make_builtins(request)
    context = {"rubrics": rubrics_of(request.user), "may_publish": bool(_projects(request))}
    return render(request, "critique/rubrics.html", context)


@require_safe
def rubric_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One version, and what is new in it since the one before."""
    rubric = get_rubric_for(request.user, pk)
    versions = versions_of(request.user, rubric)
    before = next((other for other in reversed(versions) if other.version < rubric.version), None)
    context = {
        "rubric": rubric,
        "versions": versions,
        "before": before,
        "diff": list(diff_of(document_of(before), document_of(rubric)))[:MAX_DIFF_LINES] if before else [],
        "schema": json.dumps(rubric.output_schema, indent=2, ensure_ascii=False),
        "n_runs": rubric.runs.filter(project__in=projects_of(request.user)).count(),
        "may_publish": bool(_projects(request)),
    }
    return render(request, "critique/rubric.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def new_rubric(request: HttpRequest) -> HttpResponse:
    """Publish a version: from scratch, or with `?of=` from another one."""
    projects = _projects(request)
    if not projects:
        raise PermissionDenied("Only owners of a project may publish rubrics for it.")
    base = get_rubric_for(request.user, number_in(request.GET["of"])) if request.GET.get("of") else None
    initial = {"text": document_of(base, is_new=True) if base else EXAMPLE}
    if base and base.project_id:
        initial["project"] = str(base.project_id)
    form = RubricForm(request.POST if request.method == "POST" else None, initial=initial)
    form.fields["project"].queryset = Project.objects.filter(pk__in=projects)  # type: ignore[attr-defined]
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            rubric = publish_text(given["text"], "rubric.toml", given["project"], by=person(request))
        except InputInvalid as error:
            form.add_error("text", str(error))
        else:
            messages.success(request, f"{rubric} is published. It never changes from the first critique on.")
            return redirect("rubric", pk=rubric.pk)
    return render(request, "critique/rubric_new.html", {"form": form, "base": base})


def _projects(request: HttpRequest) -> list[int]:
    """Projects that the reader owns."""
    return [project.pk for project in projects_of(request.user) if may_run(request.user, project)]


def document_of(rubric: Rubric, *, is_new: bool = False) -> str:
    """The rubric as a file; for a new version without its number, and of a built-in one with a name to be changed."""
    name = f"my-{rubric.name}" if is_new and rubric.project_id is None else rubric.name
    document = {"name": name} | ({} if is_new else {"version": rubric.version})
    document |= {"subject": rubric.subject, "title": rubric.title, "note": "" if is_new else rubric.note}
    document |= {"text": rubric.text, "criteria": rubric.criteria, "tags": rubric.tags, "critic": rubric.critic}
    document["output_schema"] = rubric.output_schema
    return tomli_w.dumps(_without_nulls(document), multiline_strings=True)


def _without_nulls(value: object) -> dict:  # type: ignore[type-arg]
    """TOML has no null: a key without a value is left out."""
    return json.loads(json.dumps(value), object_pairs_hook=lambda pairs: {k: v for k, v in pairs if v is not None})  # type: ignore[no-any-return]


def diff_of(before: str, after: str) -> Iterator[DiffLine]:
    """Lines that went and came, with a few around them."""
    old, new = before.splitlines(), after.splitlines()
    for number, group in enumerate(SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT_LINES)):
        if number:
            yield DiffLine("@", "")
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                yield from _lines(" ", old[old_from:old_to])
            else:
                yield from _lines("-", old[old_from:old_to])
                yield from _lines("+", new[new_from:new_to])


def _lines(sign: str, lines: Sequence[str]) -> Iterator[DiffLine]:
    return (DiffLine(sign, line) for line in lines)


EXAMPLE = '''name = "my-rubric"
subject = "trial"
title = "What it is about"

text = """
What the critic is to find out, and how to go about it.
"""

[[criteria]]
name = "asked_for"
description = "The work does what the instruction asks."
guidance = "Compare the final state with each sentence of the instruction."

[[tags]]
name = "GOOD_WORK"
description = "Nothing to complain about."
'''
