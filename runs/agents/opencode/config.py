"""opencode.json of one trial: what this project sets, under what the job sets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from runs.agents.opencode.providers import BUILT_IN, PROVIDERS
from runs.formats.task import McpServer

type Config = dict[str, Any]

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Fetching by the agent's host would fail anyway, and a search runs at somebody's server.
_WEB_TOOLS: Final = {"webfetch": "deny", "websearch": "deny"}


def whole_config(
    own: Config, *, model_name: str, env: Mapping[str, str], mcp_servers: tuple[McpServer, ...], is_closed: bool
) -> Config:
    """The config that is written: defaults, the model and its base URL, MCP servers; the job's own over all."""
    provider, _, model = model_name.partition("/")
    entry: Config = {"models": {model: {}}}
    known = PROVIDERS.get(provider)
    url = known.base_url(env) if known else None
    if url:
        entry["options"] = {"baseURL": url}
    made: Config = {"autoupdate": False, "share": "disabled", "provider": {provider: entry}}
    if mcp_servers:
        made["mcp"] = {server.name: _mcp_server(server) for server in mcp_servers}
    if is_closed:
        made["permission"] = dict(_WEB_TOOLS)
    return merged(made, own)


def merged(below: Config, above: Config) -> Config:
    """Both, tables merged into each other; elsewhere `above` wins."""
    whole = dict(below)
    for key, value in above.items():
        known = whole.get(key)
        whole[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return whole


def used_providers(own: Config, model_name: str) -> list[str]:
    """The providers of all models that a run may call, the main one's first."""
    agents = own.get("agent")
    named = [model_name, own.get("model"), own.get("small_model")]
    named += [agent.get("model") for agent in _tables(agents)]
    return list(dict.fromkeys(name.partition("/")[0] for name in named if isinstance(name, str) and "/" in name))


def provider_config(own: Config, provider: str) -> Config:
    """What the job says of a provider."""
    providers = own.get("provider")
    entry = providers.get(provider) if isinstance(providers, dict) else None
    return entry if isinstance(entry, dict) else {}


def provider_packages(own: Config) -> list[str]:
    """The npm packages, as the job names them, that OpenCode has not built in."""
    return list(dict.fromkeys(_packages_in(own.get("provider"))))


def _packages_in(providers: Any) -> Iterator[str]:
    for provider in _tables(providers):
        named = [provider.get("npm")]
        for model in _tables(provider.get("models")):
            inner = model.get("provider")
            named.append(inner.get("npm") if isinstance(inner, dict) else None)
        for name in named:
            if isinstance(name, str) and name and name not in BUILT_IN and not name.startswith("file://"):
                yield name


def _tables(value: Any) -> list[Config]:
    return [entry for entry in value.values() if isinstance(entry, dict)] if isinstance(value, dict) else []


def _mcp_server(server: McpServer) -> Config:
    if server.transport == "stdio":
        return {"type": "local", "command": [server.command, *server.args], "enabled": True}
    headers = {name: _REFERENCE.sub(r"{env:\1}", value) for name, value in server.headers.items()}
    return {"type": "remote", "url": server.url, "enabled": True, **({"headers": headers} if headers else {})}
