"""Make sure that the images which the example tasks start from are in the engine: pulled, or a stand-in."""

from pathlib import Path
from typing import TYPE_CHECKING

from pier_site.bootstrap.image_names import images_under
from pier_site.bootstrap.standin import can_stand_in, ensure_standin
from pier_site.bootstrap.terminal import ROOT, SetupFailed, say

if TYPE_CHECKING:
    from docker import DockerClient

EXAMPLES = ROOT / "examples/tasks"
REGISTRY_TIMEOUT_SEC = 15
ENGINE_TIMEOUT_SEC = 600
DEFAULT_REGISTRY = "docker.io"


def ensure_images(folder: Path) -> None:
    """Pull what the tasks under `folder` need, or make stand-ins; raise `SetupFailed` with the names that remain."""
    import docker

    names = images_under(folder)
    client = docker.from_env(timeout=ENGINE_TIMEOUT_SEC)
    try:
        missing = [name for name in names if not is_present(client, name)]
        if not missing:
            return
        unreachable = pull_all(client, missing)
        replaceable = [name for name in unreachable if can_stand_in(name)]
        if replaceable:
            ensure_standin(client, replaceable)
        lost = [name for name in unreachable if name not in replaceable]
        if lost:
            raise SetupFailed(
                f"no registry gives {', '.join(lost)}, and no stand-in can honestly have that name:"
                " load it with `docker load`, or connect a registry"
            )
    finally:
        client.close()


def is_present(client: "DockerClient", name: str) -> bool:
    """Whether the engine has the image."""
    from docker.errors import ImageNotFound

    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def pull_all(client: "DockerClient", names: list[str]) -> list[str]:
    """Pull each; return those that could not be had. A registry that did not answer is not asked again."""
    silent: set[str] = set()
    failed = []
    for name in names:
        registry = registry_of(name)
        if registry not in silent:
            problem = registry_problem(name)
            if problem is None:
                say(f"pulling {name}: an example starts from it")
                problem = pull(client, name)
                if problem is None:
                    continue
            else:
                silent.add(registry)
            say(f"{name} cannot be pulled: {problem}")
        failed.append(name)
    return failed


def registry_of(name: str) -> str:
    """The host in an image name, by Docker's rule: the first part, if it looks like a host."""
    first, slash, _ = name.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else DEFAULT_REGISTRY


def registry_problem(name: str) -> str | None:
    """Why the engine cannot reach the image's registry, or None. Takes at most REGISTRY_TIMEOUT_SEC."""
    import docker
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    client = docker.from_env(timeout=REGISTRY_TIMEOUT_SEC)
    try:
        client.images.get_registry_data(name)
    except APIError as error:
        # 401, 403 and 404 are answers of a registry: the pull will say what is wrong with this one name.
        return None if error.is_client_error() else explanation(error)
    except (DockerException, RequestException):
        return f"{registry_of(name)} did not answer within {REGISTRY_TIMEOUT_SEC} s"
    finally:
        client.close()
    return None


def pull(client: "DockerClient", name: str) -> str | None:
    """Pull one image; return why it failed, or None."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    repository, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "latest")
    try:
        client.images.pull(repository, tag=tag)
    except DockerException as error:
        return explanation(error)
    except RequestException as error:
        return str(error)
    return None


def explanation(error: Exception) -> str:
    """The engine's own words, short."""
    text = str(getattr(error, "explanation", None) or error)
    return " ".join(text.split())[-200:]
