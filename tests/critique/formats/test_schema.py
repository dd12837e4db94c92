"""Which output schemas a rubric may have: those whose cost is bounded, and that need nothing from elsewhere."""

from typing import Any

import pytest

from critique.formats.schema import PIER_SCHEMA, SchemaInvalid, check_schema, schema_problems

DEEP: dict[str, Any] = {"type": "object"}
for _ in range(2_000):
    DEEP = {"type": "object", "properties": {"a": DEEP}}


def test_the_contract_without_a_rubric_is_a_schema_too() -> None:
    check_schema(dict(PIER_SCHEMA))


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ([], "is an object"),
        ({"type": "array"}, "has type object"),
        ({"type": "objekt"}, "'objekt' is not valid"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "only https://json-schema.org/draft/2020-12"),
        ({"$ref": "https://example.org/a.json"}, "only #/$defs/NAME"),
        ({"$ref": "#/properties/a", "properties": {"a": {}}}, "only #/$defs/NAME"),
        ({"$ref": "#/$defs/a", "$defs": {"b": {}}}, "there is no such definition"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, "refers to itself"),
        ({"$dynamicRef": "#a"}, "$dynamicRef: this keyword is not supported"),
        ({"$id": "https://example.org/"}, "$id: this keyword is not supported"),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, "properties.a, pattern: this keyword is not supported"),
        ({"properties": {"a": {"uniqueItems": True}}}, "uniqueItems: this keyword is not supported"),
        ({"properties": []}, "properties: holds schemas"),
        ({"properties": {"a": 3}}, "a schema is an object, true or false"),
        ({"propertys": {}}, "propertys: this keyword is not supported"),
        ({"minProperties": -1}, "less than the minimum"),
        (DEEP, "nested too deeply"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(schema: Any, reason: str) -> None:
    with pytest.raises(SchemaInvalid) as caught:
        check_schema(schema)
    assert reason in str(caught.value)


def test_a_schema_that_doubles_at_each_level_is_refused() -> None:
    doubling: dict[str, Any] = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    with pytest.raises(SchemaInvalid, match="stands for more than 1,000 schemas"):
        check_schema({"$ref": "#/$defs/d0", "$defs": doubling | {"d40": {"type": "string"}}})


def test_complaints_never_show_the_whole_of_a_long_value() -> None:
    schema = {"properties": {"a": {"enum": ["x"]}, "b": {"not": {}}, "c": {"multipleOf": 2}}}
    problems = schema_problems(schema, {"a": "y" * 100_000, "b": ["z" * 100_000], "c": 3})
    assert [problem.partition(":")[0] for problem in problems] == ["a", "b", "c"]
    assert max(map(len, problems)) < 500


def test_of_alternatives_the_reasons_are_named() -> None:
    schema = {"properties": {"a": {"anyOf": [{"type": "string"}, {"required": ["b"]}]}}}
    assert schema_problems(schema, {"a": {}}) == [
        "a: has none of the forms that are allowed: a: must be of type string, not an object; a.b: is required"
    ]
