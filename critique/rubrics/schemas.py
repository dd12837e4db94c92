"""The whole output schema of a rubric, made from what its file says: the contract, narrowed to its words. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from critique.formats.contract import MAX_CHECK_SEC, MAX_CITATIONS, MAX_CLAIMS
from critique.formats.schema import CONFIDENCE, DIALECT, TEXT


class Answer(BaseModel):
    """How a critic answers, beside the words that it may choose from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rating: Literal["required", "none"] = "required"
    rating_means: str = Field(default="", max_length=2_000)
    feedback_means: str = Field(default="", max_length=2_000)
    min_claims: int = Field(default=1, ge=0, le=MAX_CLAIMS)
    max_claims: int = Field(default=60, ge=1, le=MAX_CLAIMS)
    max_tags: int = Field(default=1, ge=1, le=50)
    confidence: bool = True
    required: list[str] = Field(default=[], max_length=100)
    properties: dict[str, Any] = Field(default={}, max_length=100)


_CITATION: Final[Mapping[str, Any]] = {
    "description": "Evidence that code will look up. A quote is copied letter by letter from where you say it is.",
    "anyOf": [
        {
            "title": "words of a step",
            "type": "object",
            "properties": {
                "step": {"type": "integer", "minimum": 1, "description": "The step's number in the numbered text."},
                "quote": {"type": "string", "minLength": 1, "maxLength": 20_000},
                "trajectory": {
                    "type": "string",
                    "maxLength": 255,
                    "description": "The trajectory's label in the numbered text; left out for the main one.",
                },
            },
            "required": ["step", "quote"],
        },
        {
            "title": "words of a file",
            "type": "object",
            "properties": {
                "file": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1_024,
                    "description": "Path below /critique/input, as task/instruction.md.",
                },
                "quote": {"type": "string", "minLength": 1, "maxLength": 20_000},
                "line": {"type": "integer", "minimum": 1},
            },
            "required": ["file", "quote"],
        },
        {
            "title": "a test that the verifier ran",
            "type": "object",
            "properties": {
                "verifier_test": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 500,
                    "description": "Its name, as the verifier's report has it.",
                },
                "quote": {"type": "string", "maxLength": 20_000},
            },
            "required": ["verifier_test"],
        },
    ],
}
_SUGGESTED_CHECK: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "A command that shows, in the final state of the trial, whether the claim is true. It may be run "
    "in a fresh sandbox without a network; all that `expect` says must hold if the claim is true.",
    "properties": {
        "command": {"type": "string", "minLength": 1, "maxLength": 8_000},
        "expect": {
            "type": "object",
            "properties": {
                "exit_code": {"type": "integer", "minimum": 0, "maximum": 255},
                "output_contains": {"type": "string", "minLength": 1, "maxLength": 2_000},
                "output_lacks": {"type": "string", "minLength": 1, "maxLength": 2_000},
            },
            "minProperties": 1,
        },
        "timeout_sec": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_CHECK_SEC},
    },
    "required": ["command", "expect"],
}
_CHECK: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "outcome": {"enum": ["pass", "fail", "not_applicable"]},
        "explanation": {**TEXT, "description": "Two to four sentences that name the decisive evidence."},
    },
    "required": ["outcome", "explanation"],
}


def output_schema(
    *,
    answer: Answer,
    ratings: Mapping[str, str | None],
    categories: Mapping[str, str],
    severities: Mapping[str, str],
    criteria: Sequence[str],
) -> dict[str, Any]:
    """A JSON Schema of its own, without a word that is left to look up elsewhere.

    `ratings`: by tag, the rating that goes with it; `categories` and `severities`: what they mean, by name.
    """
    schema: dict[str, Any] = {
        "$schema": DIALECT,
        "type": "object",
        "properties": _properties(answer, ratings, criteria),
        "required": _required(answer, ratings, criteria),
        "$defs": {"claim": _claim(categories, severities), "citation": dict(_CITATION)},
    }
    if criteria:
        schema["$defs"]["check"] = dict(_CHECK)
    if answer.rating == "required" and (implied := _implied(ratings)):
        schema["allOf"] = implied
    return schema


def _properties(answer: Answer, ratings: Mapping[str, str | None], criteria: Sequence[str]) -> dict[str, Any]:
    feedback = answer.feedback_means or "Markdown: what somebody must know who reads nothing else."
    found: dict[str, Any] = {}
    if answer.rating == "required":
        found["rating"] = _described({"enum": ["good", "bad"]}, answer.rating_means)
    found["feedback"] = {"type": "string", "minLength": 1, "maxLength": 200_000, "description": feedback}
    if ratings:
        found["tags"] = {
            "type": "array",
            "items": {"enum": list(ratings)},
            "minItems": 1,
            "maxItems": min(answer.max_tags, len(ratings)),
        }
    if answer.confidence:
        found["confidence"] = {**CONFIDENCE, "description": "How sure you are of the whole, from 0 to 1."}
    found["claims"] = {
        "type": "array",
        "items": {"$ref": "#/$defs/claim"},
        "minItems": answer.min_claims,
        "maxItems": answer.max_claims,
    }
    if criteria:
        found["checks"] = {
            "type": "object",
            "properties": {name: {"$ref": "#/$defs/check"} for name in criteria},
            "required": list(criteria),
            "additionalProperties": False,
        }
    return found | answer.properties


def _required(answer: Answer, ratings: Mapping[str, str | None], criteria: Sequence[str]) -> list[str]:
    names = {
        "rating": answer.rating == "required",
        "feedback": True,
        "tags": bool(ratings),
        "confidence": answer.confidence,
        "claims": True,
        "checks": bool(criteria),
    }
    return list(dict.fromkeys([*(name for name, is_wanted in names.items() if is_wanted), *answer.required]))


def _claim(categories: Mapping[str, str], severities: Mapping[str, str]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "claim": {**TEXT, "description": "One assertion that can be true or false, in one or two sentences."},
        "category": {"enum": list(categories)} if categories else {"type": "string", "maxLength": 100},
        "severity": _described(
            {"enum": ["info", "minor", "major", "critical"]},
            "; ".join(f"{name}: {meaning}" for name, meaning in severities.items()),
        ),
        "confidence": {**CONFIDENCE, "description": "How likely it is that the claim is true, from 0 to 1."},
        "citations": {
            "type": "array",
            "items": {"$ref": "#/$defs/citation"},
            "minItems": 1,
            "maxItems": MAX_CITATIONS,
        },
        "suggested_check": dict(_SUGGESTED_CHECK),
    }
    required = ["claim", *(["category"] if categories else []), "severity", "confidence", "citations"]
    return {"type": "object", "properties": properties, "required": required}


def _implied(ratings: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """What a tag says of the rating, as conditions."""
    found = []
    for rating in ("good", "bad"):
        tags = [name for name, implied in ratings.items() if implied == rating]
        if tags:
            condition = {"properties": {"tags": {"contains": {"enum": tags}}}, "required": ["tags"]}
            found.append({"if": condition, "then": {"properties": {"rating": {"const": rating}}}})
    return found


def _described(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return schema | ({"description": description} if description else {})
