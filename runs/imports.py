"""Classes of the user's own, named `module:Class` in job files (whose form runs.formats.job has checked)."""

import importlib
from collections.abc import Callable
from typing import cast

from runs.errors import JobInvalid


def import_class[T](path: str, base: Callable[..., T]) -> Callable[..., T]:
    """The class that `path` names, a subclass of the class `base` (which may be abstract). Raises JobInvalid."""
    module_name, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except ImportError as error:
        raise JobInvalid(f"import_path {path!r}: {error}") from error
    except AttributeError as error:
        raise JobInvalid(f"import_path {path!r}: the module {module_name} has no {name}") from error
    wanted = cast("type[T]", base)
    if not (isinstance(found, type) and issubclass(found, wanted)):
        raise JobInvalid(f"import_path {path!r} is not a subclass of {wanted.__module__}.{wanted.__name__}")
    return found
