"""What a verifier's reward files say, read strictly: a reward is a finite number or it is a named error.

Which of the two files counts is the verifier's business, not this module's.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

from runs.errors import VerifierFailed
from runs.formats.reading import JsonInvalid, parse_json

MAX_REWARD_BYTES: Final = 1024 * 1024
REWARD_KEY: Final = "reward"

# DeepSWE's test script leaves this in reward.txt from its exit trap when it died before it could grade.
_CRASH_SENTINEL: Final = -1.0
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BLANKS: Final = " \t\r\n\v\f"


class RewardFileNotFoundError(VerifierFailed):
    """The verifier wrote neither reward.txt nor reward.json."""


class RewardFileEmptyError(VerifierFailed):
    """The verifier wrote a reward file with nothing in it."""


class VerifierOutputParseError(VerifierFailed):
    """The verifier wrote a reward file that holds no usable reward."""


def parse_reward_text(text: str) -> dict[str, float]:
    """The reward of a reward.txt, `{"reward": value}`: one finite decimal number, blanks around it allowed.

    Raises `RewardFileEmptyError` or `VerifierOutputParseError`.
    """
    number = _content(text, "reward.txt")
    if not _NUMBER.fullmatch(number):
        raise VerifierOutputParseError(f"reward.txt holds {_excerpt(number)} where one decimal number belongs")
    return {REWARD_KEY: _finite(number, "reward.txt")}


def parse_reward_json(text: str) -> dict[str, float]:
    """The named rewards of a reward.json: an object of finite numbers, where true and false are 1.0 and 0.0.

    Raises `RewardFileEmptyError` or `VerifierOutputParseError`.
    """
    content = _content(text, "reward.json")
    try:
        values = parse_json(content, max_depth=20)
    except JsonInvalid as error:
        raise VerifierOutputParseError(f"reward.json: {error}") from None
    if not isinstance(values, dict):
        raise VerifierOutputParseError(f"reward.json holds {_excerpt(content)} where an object of numbers belongs")
    if not values:
        raise VerifierOutputParseError("reward.json is an object without a single reward")
    for key, value in values.items():
        if not isinstance(value, int | float):
            raise VerifierOutputParseError(f"reward.json: the reward {_excerpt(key)} is not a number")
    return {key: _finite(value, "reward.json") for key, value in values.items()}


def headline(rewards: Mapping[str, float] | None, key: str | None = None) -> float | None:
    """The one number that stands for a trial: `key` if it is given, else `reward`, else the only reward there is."""
    if not rewards:
        return None
    wanted = key or REWARD_KEY
    if wanted in rewards or key or len(rewards) != 1:
        return rewards.get(wanted)
    return next(iter(rewards.values()))


def is_crash_sentinel(rewards: Mapping[str, float]) -> bool:
    """Whether rewards read from a reward.txt with no reward.json beside it mean that the verifier itself crashed."""
    return dict(rewards) == {REWARD_KEY: _CRASH_SENTINEL}


def _content(text: str, name: str) -> str:
    if len(text) > MAX_REWARD_BYTES:
        raise VerifierOutputParseError(f"{name} is over the limit of {MAX_REWARD_BYTES:,} bytes")
    content = text.strip(_BLANKS)
    if not content:
        raise RewardFileEmptyError(f"{name} is empty")
    return content


def _finite(value: str | float, name: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise VerifierOutputParseError(f"{name}: {_excerpt(str(value))} is not a finite number")
    return number


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
