"""Rules on the images that sandboxes are made of."""

import re
from collections.abc import Iterator
from typing import Final

from runs.formats.task_directory import TASK_FILE
from runs.tasks.dockerfile import base_images
from runs.tasks.findings import Finding, Rule
from runs.tasks.sources import TaskSources

UNPINNED_IMAGE: Final = Rule("unpinned-image", "warning", "an image without a tag, or with one that moves")
IMAGE_WITHOUT_DIGEST: Final = Rule(
    "image-without-digest", "warning", "an image named by its tag only, which its owner can move", is_default=False
)
ROOT_AGENT: Final = Rule("root-agent", "warning", "an agent that works as root", is_default=False)

RULES: Final = (UNPINNED_IMAGE, IMAGE_WITHOUT_DIGEST, ROOT_AGENT)

_MOVING: Final = frozenset({"latest", "stable", "edge", "nightly", "main", "master", "dev", "rolling"})
_DIGEST: Final = re.compile(r"@sha256:[0-9a-f]{64}$")
_ROOT: Final = frozenset({"root", "0", 0, "0:0", "root:root"})


def check_images(sources: TaskSources) -> Iterator[Finding]:
    """Every FROM of the task's Dockerfiles, and the images that task.toml names."""
    for file, line, reference in _images(sources):
        if _DIGEST.search(reference):
            continue
        tag = reference.rpartition("/")[2].partition(":")[2]
        if not tag or tag in _MOVING:
            said = f"the moving tag {tag!r}" if tag else "no tag"
            yield UNPINNED_IMAGE.at(
                file, line, f"the image {reference!r} has {said}, so later runs may get another one: name a version"
            )
        else:
            yield IMAGE_WITHOUT_DIGEST.at(
                file, line, f"the image {reference!r} is named by a tag, which can be moved: add @sha256:…"
            )


def check_user(sources: TaskSources) -> Iterator[Finding]:
    """Whether the agent is root, as far as task.toml and the Dockerfile tell."""
    config = sources.task.config
    if config.agent.user is None and (config.environment.docker_image or not sources.instructions_of_agent()):
        return
    user = config.agent.user if config.agent.user is not None else _image_user(sources)
    if user in _ROOT:
        line = sources.lines.line_of("agent.user") or sources.lines.line_of("agent")
        yield ROOT_AGENT.at(TASK_FILE, line, "the agent works as root: set [agent].user, or USER in the Dockerfile")


def _images(sources: TaskSources) -> Iterator[tuple[str, int | None, str]]:
    for context in sources.contexts():
        for base in base_images(sources.instructions(context)):
            if base.reference:
                yield sources.relative(context / "Dockerfile"), base.line, base.reference
    config = sources.task.config
    named = {
        "environment": config.environment.docker_image,
        "verifier.environment": config.verifier.environment and config.verifier.environment.docker_image,
    }
    for number, step in enumerate(config.steps or []):
        named[f"steps[{number}].verifier.environment"] = (
            step.verifier.environment and step.verifier.environment.docker_image
        )
    for place, reference in named.items():
        if reference:
            yield TASK_FILE, sources.lines.line_of(f"{place}.docker_image"), reference


def _image_user(sources: TaskSources) -> str:
    """The user of the last stage; a base image's own USER is not known and taken for root."""
    user = "root"
    for instruction in sources.instructions_of_agent():
        if instruction.name == "FROM":
            user = "root"
        elif instruction.name == "USER":
            user = next(iter(instruction.words()), "root")
    return user


CHECKS: Final = (check_images, check_user)
