"""What dead runners left in the Docker engine: found by the labels of their owners, and removed."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import docker
import requests
from docker.errors import DockerException, NotFound

from runs.owner import is_alive
from runs.sandboxes.docker import LABEL
from runs.sandboxes.engine import explain

OWNER_LABEL = f"{LABEL}.owner"
FILTERS = {"label": [f"{LABEL}=1", OWNER_LABEL]}


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something in the engine whose owner died on this machine."""

    kind: Literal["container", "network", "volume"]
    id: str
    name: str
    owner: str


def find_leftovers(api: docker.APIClient) -> list[Leftover]:
    """Containers first: networks and volumes can only go when no container uses them. Three calls, of 1 ms each.

    What has no owner's label, or one of another machine, is foreign and never in the list.
    """
    found = [
        Leftover("container", item["Id"], str(item["Names"][0]).lstrip("/") if item["Names"] else item["Id"], owner)
        for item in api.containers(all=True, filters=FILTERS)
        if (owner := _dead_owner(item))
    ]
    found += [
        Leftover("network", item["Id"], item["Name"], owner)
        for item in api.networks(filters=FILTERS)
        if (owner := _dead_owner(item))
    ]
    found += [
        Leftover("volume", item["Name"], item["Name"], owner)
        for item in api.volumes(filters=FILTERS)["Volumes"] or ()
        if (owner := _dead_owner(item))
    ]
    return found


def _dead_owner(item: Mapping[str, Any]) -> str | None:
    owner = str((item.get("Labels") or {}).get(OWNER_LABEL, ""))
    return None if is_alive(owner) else owner


def remove_leftovers(api: docker.APIClient) -> list[str]:
    """Remove what dead owners left; a line for each thing. What the engine refuses to remove is a line too."""
    remove: dict[str, Callable[[str], object]] = {
        "container": lambda id_: api.remove_container(id_, force=True, v=True),
        "network": api.remove_network,
        "volume": lambda id_: api.remove_volume(id_, force=True),
    }
    lines = []
    try:
        found = find_leftovers(api)
    except (DockerException, requests.RequestException) as error:
        return [f"what dead runners left in the engine could not be looked for: {explain(error)}"]
    for left in found:
        outcome = "removed"
        try:
            # Another reaper may have been quicker.
            with suppress(NotFound):
                remove[left.kind](left.id)
        except (DockerException, requests.RequestException) as error:
            outcome = f"could not be removed: {explain(error)}"
        lines.append(f"{left.kind} {left.name} of {left.owner}: {outcome}")
    return lines
