"""YAML of job files, read with limits: plain values only, no alias bombs, no key said twice."""

from typing import Any, Final

import yaml

from runs.errors import InputInvalid

MAX_YAML_BYTES: Final = 512 * 1024
_MAX_DEPTH: Final = 60
_MAX_VALUES: Final = 100_000
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"


class YamlInvalid(InputInvalid):
    """A text is not YAML that a job file may hold."""


def parse_yaml(text: str) -> Any:
    """The plain value of a YAML text, where anchors and merge keys may be used within limits; raises `YamlInvalid`."""
    if len(text) > MAX_YAML_BYTES:
        raise YamlInvalid(f"YAML is over the limit of {MAX_YAML_BYTES:,} bytes")
    loader = yaml.SafeLoader(text) if _is_printable(text) else None
    if loader is None:
        raise YamlInvalid("YAML holds control characters")
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_node(node, {}, depth=0)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise YamlInvalid(f"not YAML{place}: {error.problem or error.context}") from None
    except RecursionError:
        raise YamlInvalid("YAML is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:  # a date or a number that can't be
        raise YamlInvalid(f"not YAML: {str(error)[:200]}") from None
    finally:
        loader.dispose()


def _is_printable(text: str) -> bool:
    return not yaml.SafeLoader.NON_PRINTABLE.search(text)


def _check_node(node: yaml.Node, sizes: dict[int, int], depth: int) -> int:
    """How many values the node stands for with its aliases written out; sizes of 0 mark nodes still being walked."""
    if id(node) in sizes:
        if sizes[id(node)] == 0:
            raise YamlInvalid("YAML refers to itself")
        return sizes[id(node)]
    if depth > _MAX_DEPTH:
        raise YamlInvalid(f"YAML is nested deeper than {_MAX_DEPTH} levels")
    sizes[id(node)] = 0
    size = 1
    for child in _children(node):
        size += _check_node(child, sizes, depth + 1)
        if size > _MAX_VALUES:
            raise YamlInvalid(f"YAML stands for more than {_MAX_VALUES:,} values")
    sizes[id(node)] = size
    return size


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not isinstance(node, yaml.MappingNode):
        return []
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE_TAG:
            if key.value in seen:
                raise YamlInvalid(f"line {key.start_mark.line + 1}: key {key.value!r} is given twice")
            seen.add(key.value)
    return [part for pair in node.value for part in pair]
