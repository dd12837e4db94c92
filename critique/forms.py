"""What people say when they want critiques: which trials, what is asked, by whom. Made to a CritiqueRunConfig."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from django import forms
from django.utils import timezone
from pydantic import ValidationError

from critique.formats.config import CRITIQUES_FOLDER, ChecksConfig, CritiqueRunConfig, SelectionConfig
from critique.models import Critique, Rubric, Subject
from runs.agents.registry import AGENTS, create_agent
from runs.errors import InputInvalid
from runs.formats.job import AgentConfig, EnvironmentConfig
from runs.formats.validation import first_problem
from runs.models import Job, Marker
from runs.queries import TRIAL_FLAGS
from runs.scheduling.options import typed_pairs

MAX_CRITICS: Final = 4
MAX_PROMPT_CHARS: Final = 100_000
MAX_QUESTION_CHARS: Final = 4_000
OWN_PROMPT: Final = ""
# Agents that do what they are told: the others only replay a task's solution, or nothing.
CRITICS: Final = tuple(sorted(set(AGENTS) - {"nop", "oracle"}))


class PlanForm(forms.Form):
    """A run of critics over trials of one job. `config` is there once the form is valid."""

    which = forms.ChoiceField(
        label="Trials",
        choices=[
            ("all", "all finished trials"),
            ("passing", "those that pass"),
            ("failing", "those that fail"),
            ("chosen", "those that are ticked"),
        ],
        widget=forms.RadioSelect,
        initial="all",
    )
    flag = forms.ChoiceField(label="Only with the flag", required=False)
    rubric = forms.ChoiceField(label="Rubric", required=False)
    prompt = forms.CharField(
        label="Prompt", required=False, max_length=MAX_PROMPT_CHARS, widget=forms.Textarea(attrs={"rows": 8})
    )
    question = forms.CharField(
        label="Question", required=False, max_length=MAX_QUESTION_CHARS, widget=forms.Textarea(attrs={"rows": 4})
    )
    n_samples = forms.IntegerField(label="Samples of each", min_value=1, max_value=20, initial=1)
    limit = forms.IntegerField(label="At most so many trials", min_value=1, required=False)
    seed = forms.IntegerField(label="Seed", min_value=0, max_value=2**31 - 1, required=False)
    checks = forms.BooleanField(label="Run the checks that critics suggest", required=False)
    summarise = forms.BooleanField(label="One more critic sums the run up", required=False)
    sandbox = forms.ChoiceField(label="Sandbox")

    def __init__(self, *args: Any, job: Job, rubrics: Sequence[Rubric], parent: Critique | None, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": ""} | kwargs)
        self.job = job
        self.parent = parent
        asks = "question" in self.initial
        self.is_question = parent is not None or asks or bool(self.data.get("question"))
        texts = [(str(rubric), f"{rubric.title} ({rubric})") for rubric in rubrics if rubric.subject == Subject.TRIAL]
        self.field("rubric").choices = [*texts, (OWN_PROMPT, "a prompt of your own")]
        self.field("flag").choices = [("", "any"), *((kind, Marker.Kind(kind).label) for kind in TRIAL_FLAGS)]
        on_host = job.trials.filter(sandbox="host").exists()
        kinds = [("docker", "Docker"), ("modal", "Modal"), *([("host", "host: no isolation")] if on_host else [])]
        self.field("sandbox").choices = kinds
        self.field("question").required = self.is_question
        for number in range(1, MAX_CRITICS + 1):
            choices = [*([("", "none")] if number > 1 else []), *((name, name) for name in CRITICS)]
            self.fields[f"agent_{number}"] = forms.ChoiceField(label="Agent", choices=choices, required=number == 1)
            self.fields[f"model_{number}"] = forms.CharField(label="Model", required=False, max_length=255)
            self.fields[f"kwargs_{number}"] = forms.CharField(
                label="Arguments, KEY=VALUE a line", required=False, max_length=4_000,
                widget=forms.Textarea(attrs={"rows": 2}),
            )  # fmt: skip

    def field(self, name: str) -> Any:
        """The field of that name, as the kind that it is."""
        return self.fields[name]

    @property
    def critic_rows(self) -> list[list[forms.BoundField]]:
        """The fields of each critic."""
        numbers = range(1, MAX_CRITICS + 1)
        return [[self[f"{part}_{number}"] for part in ("agent", "model", "kwargs")] for number in numbers]

    def clean(self) -> dict[str, Any]:
        """Besides the fields themselves: something is asked, and critics take their arguments."""
        given = super().clean() or {}
        if not self.is_question and not given.get("rubric") and not given.get("prompt", "").strip():
            self.add_error("prompt", "Choose a rubric, or write what critics are to find out.")
        if given.get("which") == "chosen" and not self.trial_ids:
            self.add_error("which", "No trial is ticked.")
        self.critics = [critic for number in range(1, MAX_CRITICS + 1) if (critic := self._critic(given, number))]
        return given

    def _critic(self, given: dict[str, Any], number: int) -> AgentConfig | None:
        name = given.get(f"agent_{number}")
        if not name:
            return None
        try:
            pairs = typed_pairs([line for line in given[f"kwargs_{number}"].splitlines() if line.strip()], "argument")
            refuse_nul(pairs)
            config = AgentConfig(name=name, model_name=given[f"model_{number}"].strip() or None, kwargs=pairs)
            create_agent(config)
        except ValidationError as error:
            self.add_error(f"agent_{number}", first_problem(error))
            return None
        except InputInvalid as error:
            self.add_error(f"kwargs_{number}" if given.get(f"kwargs_{number}") else f"agent_{number}", str(error))
            return None
        return config

    @property
    def trial_ids(self) -> list[int]:
        """The trials that are ticked."""
        values = self.data.getlist("trial") if hasattr(self.data, "getlist") else []
        return [int(value) for value in values if re.fullmatch(r"[0-9]{1,15}", value)]

    def config(self, names: Sequence[str], name: str) -> CritiqueRunConfig:
        """The run as the form says it, over the trials of these names; raises InputInvalid."""
        given = self.cleaned_data
        which = given["which"]
        if not names:
            raise InputInvalid("No finished trial of the job is among these.")
        try:
            return CritiqueRunConfig(
                run_name=name,
                source_dir=Path(self.job.directory),
                critiques_dir=Path(self.job.directory) / CRITIQUES_FOLDER,
                rubric="question" if self.is_question else given["rubric"] or None,
                prompt=None if self.is_question or given["rubric"] else given["prompt"],
                question=given["question"] if self.is_question else None,
                parent=f"{self.parent.run.name}/{self.parent.trial.name}" if self.parent else None,
                critics=self.critics,
                n_samples=given["n_samples"],
                seed=given["seed"],
                selection=SelectionConfig(
                    trial_names=list(names),
                    verdict=which if which in ("passing", "failing") else None,
                    limit=given["limit"],
                    sample_seed=given["seed"] if given["limit"] else None,
                ),
                checks=ChecksConfig(enabled=given["checks"]),
                summarise=given["summarise"],
                environment=EnvironmentConfig(type=given["sandbox"]),
            )
        except ValidationError as error:
            raise InputInvalid(first_problem(error)) from error


def refuse_nul(pairs: dict[str, Any]) -> None:
    """Raise InputInvalid for what no database keeps."""
    if "\\u0000" in json.dumps(pairs):
        raise InputInvalid("an argument has a NUL in it")


def name_of_now() -> str:
    """A run's name by the clock, as jobs have them."""
    return timezone.localtime().strftime("%Y-%m-%d__%H-%M-%S")
