"""The config of one trial of mini-swe-agent: one YAML text of what this project sets and what the job sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from runs.agents.arguments import AgentArgumentInvalid
from runs.agents.mini_swe_agent.providers import OPENROUTER_CLASSES
from runs.errors import FileUnreadable
from runs.formats.reading import read_text
from runs.formats.yaml_text import MAX_YAML_BYTES, YamlInvalid, parse_yaml

type Config = dict[str, Any]

# By a model's prefix; for all others LiteLLM finds the API by itself.
CLASS_BY_PREFIX: Final = {"openai": "litellm_response", "openrouter": "openrouter"}


def own_config(agent: str, values: Mapping[str, Any]) -> Config:
    """What the job's YAML says, `config_yaml` over `config_file`. Raises AgentArgumentInvalid."""
    config: Config = {}
    if values["config_file"]:
        try:
            text = read_text(Path(values["config_file"]), MAX_YAML_BYTES)
        except FileUnreadable as error:
            raise AgentArgumentInvalid(agent, "config_file", str(error)) from None
        config = _table(agent, "config_file", text)
    if values["config_yaml"]:
        config = merged(config, _table(agent, "config_yaml", values["config_yaml"]))
    return config


def whole_config(values: Mapping[str, Any], own: Config, model_name: str) -> Config:
    """Defaults, then the job's YAML, then the job's arguments."""
    kind = model_class(values, own, model_name)
    model: Config = {"model_kwargs": {**_reasoning(values["reasoning_effort"], kind), **values["model_kwargs"]}}
    if kind:
        model["model_class"] = kind
    if values["set_cache_control"]:
        model["set_cache_control"] = values["set_cache_control"]
    config = merged({"agent": {"cost_limit": 0}}, own)
    limit = values["cost_limit"]
    return merged(config, {"model": model, **({"agent": {"cost_limit": limit}} if limit is not None else {})})


def model_class(values: Mapping[str, Any], own: Config, model_name: str) -> str | None:
    """The adapter: the job's argument, else its YAML's, else by the model's prefix; None leaves it to LiteLLM."""
    table = own.get("model")
    named = table.get("model_class") if isinstance(table, dict) else None
    prefix, slash, _ = model_name.partition("/")
    return values["model_class"] or named or (CLASS_BY_PREFIX.get(prefix) if slash else None)


def called_model(model_name: str, kind: str | None) -> str:
    """The model as its adapter calls it: those of OpenRouter know no prefix."""
    return model_name.removeprefix("openrouter/") if kind in OPENROUTER_CLASSES else model_name


def config_text(config: Config) -> str:
    """As YAML in plain ASCII: PyYAML refuses some characters as they are, and takes all of them escaped."""
    return yaml.safe_dump(config, allow_unicode=False, sort_keys=False)


def merged(below: Config, above: Config) -> Config:
    """Both, tables merged into each other; elsewhere `above` wins."""
    whole = dict(below)
    for key, value in above.items():
        known = whole.get(key)
        whole[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return whole


def _reasoning(effort: str | None, kind: str | None) -> Config:
    """How each API is asked. LiteLLM asks Gemini for readable thoughts only where an effort is given."""
    if effort is None:
        return {}
    if kind in OPENROUTER_CLASSES:
        return {"reasoning": {"effort": effort}}
    if kind is not None and kind.endswith("_response"):
        return {"reasoning": {"effort": effort, "summary": "auto"}}
    return {"reasoning_effort": effort}


def _table(agent: str, argument: str, text: str) -> Config:
    try:
        value = parse_yaml(text)
    except YamlInvalid as error:
        raise AgentArgumentInvalid(agent, argument, str(error)) from None
    if value is not None and not isinstance(value, dict):
        raise AgentArgumentInvalid(agent, argument, "it has to be a table of settings")
    return value or {}
