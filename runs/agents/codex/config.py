"""Codex's config.toml as a job makes it: our quiet defaults, what the run brings, and the job's own TOML on top."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import tomli_w

from runs.agents.arguments import AgentArgumentInvalid
from runs.errors import InputInvalid
from runs.formats.reading import parse_toml, read_text
from runs.formats.task import McpServer
from runs.formats.template import resolve_all

type Config = dict[str, Any]

MAX_CONFIG_BYTES: Final = 1024 * 1024
BUILT_IN_PROVIDER: Final = "openai"
# Nothing but the model is asked over the network: no update check, no metrics, no sync of plugins.
_QUIET: Final[Mapping[str, Any]] = {
    "check_for_update_on_startup": False,
    "analytics": {"enabled": False},
    "otel": {"exporter": "none"},
    "features": {"plugins": False, "unified_exec": True},
}


def own_config(agent: str, text: str | None, file: str | None) -> Config:
    """What a job says in TOML, `text` over what is in `file`. Raises AgentArgumentInvalid."""
    config: Config = {}
    for argument, source in (("config_toml_file", file), ("config_toml", text)):
        if not source:
            continue
        try:
            content = source if argument == "config_toml" else read_text(Path(source).expanduser(), MAX_CONFIG_BYTES)
            config = merged(config, parse_toml(content))
        except InputInvalid as error:
            raise AgentArgumentInvalid(agent, argument, str(error)) from None
    return config


def whole_config(
    own: Config, *, env: Mapping[str, str], mcp_servers: Iterable[McpServer], is_closed: bool, secrets: Iterable[str]
) -> Config:
    """What the CLI reads. `secrets` are variables that the commands of the model don't get.

    In a closed sandbox the provider doesn't search the web for the model either, unless the job wants it.
    """
    made: Config = {"shell_environment_policy": {"exclude": sorted(secrets)}}
    if base_url := env.get("OPENAI_BASE_URL"):
        made["openai_base_url"] = base_url
    if is_closed:
        made["web_search"] = "disabled"
    servers = {server.name: _mcp_server(server, env) for server in mcp_servers}
    if servers:
        made["mcp_servers"] = servers
    return merged(merged({**_QUIET}, made), own)


def config_text(config: Config) -> str:
    """The text of config.toml."""
    return tomli_w.dumps(config)


def provider_of(config: Config) -> str:
    """The provider whose model is asked."""
    name = config.get("model_provider")
    return name if isinstance(name, str) and name else BUILT_IN_PROVIDER


def key_variables(config: Config) -> set[str]:
    """The environment variables that hold the keys of providers."""
    providers = config.get("model_providers")
    entries = providers.values() if isinstance(providers, dict) else ()
    names = (entry.get("env_key") for entry in entries if isinstance(entry, dict))
    return {"CODEX_API_KEY", "OPENAI_API_KEY", *(name for name in names if isinstance(name, str) and name)}


def merged(below: Config, above: Config) -> Config:
    """Both, table by table; where they differ, `above`."""
    result = dict(below)
    for key, value in above.items():
        known = result.get(key)
        result[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def _mcp_server(server: McpServer, env: Mapping[str, str]) -> Config:
    if server.transport == "stdio":
        return {"command": server.command, "args": server.args}
    headers = resolve_all(server.headers, {**os.environ, **env})
    return {"url": server.url, **({"http_headers": headers} if headers else {})}
