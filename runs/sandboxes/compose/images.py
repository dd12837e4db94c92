"""From which image a service starts."""

from runs.sandboxes.base import Image
from runs.sandboxes.compose.model import MAIN, MAIN_IMAGE, ComposeFile, Service


def image_of(service: Service, own: Image) -> Image:
    """The service's image; `own` is that of the task itself, for who names no other."""
    if build := service.build:
        return Image(None, build.context, own.force_build, dockerfile=build.dockerfile, build_args=build.args)
    return own if service.image in (None, MAIN_IMAGE) else Image(service.image)


def images_of_file(compose: ComposeFile, own: Image) -> list[Image]:
    """The images of all services, that of `main` first, each once."""
    main = image_of(compose.main, own)
    beside = [image_of(service, main) for service in compose.services if service.name != MAIN]
    return list(dict.fromkeys([main, *beside]))
