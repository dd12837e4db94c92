"""The keys of a compose file that are refused with a reason of their own, and those that change nothing here."""

from typing import Final

REFUSED: Final = {
    "privileged": "a privileged container can take the machine over",
    "cap_add": "added capabilities take a part of the isolation away",
    "devices": "a device of the machine is a way out of the sandbox",
    "device_cgroup_rules": "a device of the machine is a way out of the sandbox",
    "network_mode": "the network of a service is that of the task: list it under 'networks'",
    "pid": "processes are not shared with the machine or other services",
    "ipc": "memory is not shared with the machine or other services",
    "uts": "the machine's own name space is not shared",
    "userns_mode": "the machine's own users are not shared",
    "cgroup": "the machine's own control groups are not shared",
    "cgroup_parent": "the machine's own control groups are not shared",
    "security_opt": "only no-new-privileges is accepted, as other options loosen the sandbox",
    "sysctls": "settings of the kernel are not changed",
    "runtime": "the engine's own runtime is used",
    "gpus": "the sandboxes have no GPUs",
    "secrets": "secrets of the machine are not given to services: use environment",
    "configs": "put the file into environment/ and mount it",
    "external_links": "containers of other projects are out of reach",
    "volumes_from": "name the volume under 'volumes'",
    "external": "what was made outside of the trial is out of reach",
    "driver_opts": "they can name folders of the machine",
    "ipam": "the engine chooses the addresses",
    "extends": "write the service out",
    "env_file": "write the variables under 'environment'",
    "include": "write the services into this file",
    "links": "services find each other by their names: use depends_on",
    "dns": "the engine resolves names",
    "profiles": "every service of the file is started",
    "scale": "a service is one container",
    "target": "the last stage of a Dockerfile is built",
    "dockerfile_inline": "put the Dockerfile into environment/",
}

# Keys of a service without any effect here: nothing is published, shown or restarted.
IGNORED: Final = frozenset(
    {
        *("labels", "annotations", "logging", "stop_grace_period", "stop_signal", "stdin_open", "tty", "pull_policy"),
        *("expose", "attach", "blkio_config", "oom_score_adj", "container_name", "ports", "restart", "privileged"),
    }
)
IGNORED_OF_BUILD: Final = frozenset({"labels", "tags", "cache_from", "cache_to", "pull", "no_cache", "shm_size"})
IGNORED_OF_VOLUME: Final = frozenset({"name", "labels", "driver"})
IGNORED_OF_NETWORK: Final = frozenset({"name", "labels", "driver", "attachable"})
IGNORED_OF_FILE: Final = frozenset({"version", "name"})


def reason_against(key: str) -> str:
    """Why a key that is not understood cannot be read over."""
    return REFUSED.get(key, "it is not among the keys that are understood (docs/reference/task-format.md)")
