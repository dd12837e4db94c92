"""Which unknown keys of a task.toml are too dangerous to be only warned about.

A key is dangerous when reading over it could open the network, change who runs where, or drop a mount.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from runs.formats.validation import UnknownKey, edit_distance

# What each key decides; a key one slip away from one of these was meant to decide the same.
_DECISIVE: Final = {
    "allow_internet": "it may be meant to close the network",
    "network_mode": "it may be meant to close the network",
    "allowed_hosts": "it may be meant to restrict the network",
    "user": "it may be meant to choose the user",
    "environment_mode": "it may be meant to choose where the verifier runs",
    "environment": "it may be meant to describe a sandbox",
    "verifier": "it may be meant to describe the verifier",
    "agent": "it may be meant to describe the agent's phase",
    "steps": "it may be meant to list the steps",
    "mounts": "it may be meant to mount something",
}
_DECISIVE_WORDS: Final = {
    "network": "it speaks of the network",
    "networks": "it speaks of the network",
    "networking": "it speaks of the network",
    "internet": "it speaks of the network",
    "egress": "it speaks of the network",
    "offline": "it speaks of the network",
    "airgapped": "it speaks of the network",
    "firewall": "it speaks of the network",
    "hosts": "it speaks of the network",
    "allowlist": "it speaks of the network",
    "whitelist": "it speaks of the network",
    "domains": "it speaks of the network",
    "uid": "it speaks of the user",
    "username": "it speaks of the user",
    "root": "it speaks of the user",
    "privileged": "it speaks of privileges",
    "mount": "it speaks of mounts",
    "volume": "it speaks of mounts",
    "volumes": "it speaks of mounts",
}
_WORDS: Final = re.compile(r"[a-z0-9]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Two slips in a long key still mean that key; in a short one they make another word.
_LONG_KEY: Final = 10
_MAX_LOOK: Final = 5


def danger_of(unknown: UnknownKey) -> str | None:
    """Why this unknown key must be refused, or None where a warning will do."""
    return _danger_of_key(unknown.key) or _danger_inside(unknown.value, _MAX_LOOK)


def _danger_of_key(key: str) -> str | None:
    spelled = _CAMEL.sub("_", key[:200]).lower().replace("-", "_").replace(" ", "_")
    for decisive, reason in _DECISIVE.items():
        if edit_distance(spelled.strip("_"), decisive) <= (2 if len(decisive) >= _LONG_KEY else 1):
            return reason
    return next((_DECISIVE_WORDS[word] for word in _WORDS.findall(spelled) if word in _DECISIVE_WORDS), None)


def _danger_inside(value: Any, depth: int) -> str | None:
    """A misspelt table takes the keys in it along: `[enviroment]` with `network_mode` inside."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return next(filter(None, (_danger_inside(entry, depth) for entry in value)), None)
    if not isinstance(value, Mapping):
        return None
    if depth == 0:
        return "it nests too deeply to be judged"
    found = (_danger_of_key(str(key)) or _danger_inside(entry, depth - 1) for key, entry in value.items())
    return next(filter(None, found), None)
