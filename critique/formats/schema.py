"""JSON Schema (2020-12) of critique-result.json: which schemas a rubric may have, and what one says of a document.

Only keywords are allowed whose cost is bounded by the sizes of schema and document: both come from people and models
that nobody vouches for. Pure.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError, ValidationError

from runs.errors import InputInvalid
from runs.formats.validation import shortened

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MAX_NODES: Final = 1_000
MAX_PROBLEMS: Final = 20
REQUIRED: Final = "is required"
WHOLE: Final = "the file"

_BY_NAME: Final = frozenset({"properties", "$defs", "dependentSchemas"})
_LISTED: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_ONE: Final = frozenset({"items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"})
_PLAIN: Final = frozenset({
    "$schema", "$comment", "title", "description", "default", "examples", "deprecated", "type", "enum", "const",
    "required", "dependentRequired", "minItems", "maxItems", "minContains", "maxContains", "minLength", "maxLength",
    "minProperties", "maxProperties", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
})  # fmt: skip
KEYWORDS: Final = _BY_NAME | _LISTED | _ONE | _PLAIN | {"$ref"}

TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 20_000}
CONFIDENCE: Final = {"type": "number", "minimum": 0, "maximum": 1}
PIER_SCHEMA: Final[Mapping[str, Any]] = {
    "$schema": DIALECT,
    "type": "object",
    "properties": {
        "rating": {"enum": ["good", "bad"]},
        "feedback": {"type": "string", "minLength": 1},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
    },
    "required": ["rating", "feedback", "tags"],
}
"""What a result must have where no rubric says more: Pier's contract. Its `tag` has become one of `tags`."""


class SchemaInvalid(InputInvalid):
    """An output schema cannot be used for critique-result.json."""


def check_schema(schema: Any) -> None:
    """Raise SchemaInvalid unless the schema is one that a rubric may have; see docs/reference/rubrics.md."""
    if not isinstance(schema, dict):
        raise SchemaInvalid("an output schema is an object")
    if schema.get("$schema", DIALECT) != DIALECT:
        raise SchemaInvalid(f"$schema {shortened(str(schema['$schema']))}: only {DIALECT} is read")
    try:
        _size(schema, schema, "the output schema", {})
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise SchemaInvalid(f"the output schema, {_place(error)}: {shortened(error.message, 200)}") from None
    except RecursionError:
        raise SchemaInvalid("the output schema is nested too deeply") from None
    if schema.get("type", "object") != "object":
        raise SchemaInvalid("an output schema has type object: critique-result.json is one")


def schema_problems(schema: Mapping[str, Any], document: Any) -> list[str]:
    """What the schema finds wrong with a document, `path: sentence`, at most MAX_PROBLEMS + 1 in its own order."""
    found: dict[str, None] = {}
    for error in Draft202012Validator(dict(schema)).iter_errors(document):
        found.update(dict.fromkeys(_problems_of(error)))
        if len(found) > MAX_PROBLEMS:
            break
    return list(found)


def _problems_of(error: ValidationError) -> Iterator[str]:
    place, wanted = _place(error), _wanted(error)
    if error.validator == "required":
        above = "" if place == WHOLE else f"{place}."
        yield from (f"{above}{shortened(name)}: {REQUIRED}" for name in wanted if name not in _given(error))
    else:
        yield f"{place}: {_sentence(error)}"


def _size(node: Any, root: dict[str, Any], place: str, sizes: dict[int, int]) -> int:
    """How many schemas the node stands for with its references written out. Raises SchemaInvalid."""
    if isinstance(node, bool):
        return 1
    if not isinstance(node, dict):
        raise SchemaInvalid(f"{place}: a schema is an object, true or false")
    known = sizes.get(id(node))
    if known == 0:
        raise SchemaInvalid(f"{place} refers to itself: a result of any depth cannot be checked")
    if known is not None:
        return known
    sizes[id(node)] = 0
    size = 1 + sum(_size(child, root, where, sizes) for where, child in _children(node, root, place))
    if size > MAX_NODES:
        raise SchemaInvalid(f"{place} stands for more than {MAX_NODES:,} schemas")
    sizes[id(node)] = size
    return size


def _children(node: dict[str, Any], root: dict[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for keyword, value in node.items():
        where = f"{place}, {shortened(str(keyword), 60)}"
        if keyword not in KEYWORDS:
            raise SchemaInvalid(f"{where}: this keyword is not supported in an output schema")
        if keyword == "$ref":
            yield where, _target(value, root, where)
        elif keyword in _ONE:
            yield where, value
        elif keyword in _BY_NAME and isinstance(value, dict):
            yield from ((f"{where}.{shortened(str(name), 60)}", child) for name, child in value.items())
        elif keyword in _LISTED and isinstance(value, list):
            yield from ((f"{where}[{number}]", child) for number, child in enumerate(value))
        elif keyword in _BY_NAME | _LISTED:
            raise SchemaInvalid(f"{where}: holds schemas")


def _target(reference: Any, root: dict[str, Any], place: str) -> Any:
    prefix, name = "#/$defs/", str(reference)
    definitions = root.get("$defs")
    if not name.startswith(prefix) or not isinstance(definitions, dict):
        raise SchemaInvalid(f"{place} {shortened(name)}: only #/$defs/NAME of the schema itself may be referred to")
    if name.removeprefix(prefix) not in definitions:
        raise SchemaInvalid(f"{place} {shortened(name)}: there is no such definition")
    return definitions[name.removeprefix(prefix)]


def _place(error: ValidationError | SchemaError) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return shortened(place.lstrip(".")) or WHOLE


def _sentence(error: ValidationError) -> str:
    """The complaint in words that a model can act on; never the whole of a long value."""
    wanted, given = _wanted(error), _given(error)
    match error.validator:
        case "enum":
            said = f"must be one of {', '.join(map(str, wanted))}, not {_shown(given)}"
        case "const":
            said = f"must be {_shown(wanted)}, not {_shown(given)}"
        case "type":
            kinds = wanted if isinstance(wanted, str) else " or ".join(wanted)
            said = f"must be of type {kinds}, not {_shown(given)}"
        case "minItems" | "minLength" | "minProperties":
            said = f"must have at least {wanted} {_UNITS[error.validator]}, and has {len(given)}"
        case "maxItems" | "maxLength" | "maxProperties":
            said = f"may have at most {wanted} {_UNITS[error.validator]}, and has {len(given)}"
        case "anyOf" | "oneOf" if error.context:
            said = f"has none of the forms that are allowed: {'; '.join(_forms(error))}"
        case _:
            said = error.message
    return shortened(said, 400)


_UNITS: Final = {
    "minItems": "entries", "maxItems": "entries", "minLength": "characters", "maxLength": "characters",
    "minProperties": "keys", "maxProperties": "keys",
}  # fmt: skip


def _forms(error: ValidationError) -> list[str]:
    said = [problem for inner in islice(error.context or (), 6) for problem in _problems_of(inner)]
    return list(dict.fromkeys(said))[:4]


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return shortened(repr(value[:60]) if isinstance(value, str) else repr(value), 80)


# What jsonschema's types say is unset never is in an error that a validator made.
def _wanted(error: ValidationError) -> Any:
    return error.validator_value


def _given(error: ValidationError) -> Any:
    return error.instance
