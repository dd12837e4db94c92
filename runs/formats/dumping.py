"""The one way models become JSON text: always valid UTF-8, whatever a sandbox put into a string."""

import json
import re
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
# Inside a JSON string a line break is always escaped, so only real arrays match.
_NUMERIC_ARRAY: Final = re.compile(r"\[\n\s*(-?[0-9][0-9eE+.,\s-]*)\]")


def dump_model(model: BaseModel, *, indent: int, omit_nulls: bool = False) -> str:
    """The model as indented JSON. Lone surrogates become U+FFFD, numbers that JSON lacks become null."""
    try:
        return model.model_dump_json(indent=indent, exclude_none=omit_nulls)
    except PydanticSerializationError:
        values: Any = model.model_dump(mode="json", exclude_none=omit_nulls)
        return _SURROGATES.sub("\ufffd", json.dumps(values, indent=indent, ensure_ascii=False))


def with_numeric_arrays_on_one_line(text: str) -> str:
    """Indented JSON where arrays of numbers take one line each: token ids would take thousands."""
    return _NUMERIC_ARRAY.sub(lambda match: f"[{', '.join(match[1].replace(',', ' ').split())}]", text)
