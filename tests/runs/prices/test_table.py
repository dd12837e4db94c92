"""Prices by model: read from a table, applied to a call, never made up."""

import json
from pathlib import Path

import pytest

from runs.agents.conversion.usage import Usage
from runs.agents.installed import InstalledAgent
from runs.agents.registry import create_agent
from runs.errors import FileUnreadable
from runs.formats.job import AgentConfig
from runs.prices.table import PriceTable, list_prices

MODEL = {
    "input_cost_per_token": 1e-6,
    "output_cost_per_token": 10e-6,
    "cache_read_input_token_cost": 1e-7,
    "cache_creation_input_token_cost": 2e-6,
    "input_cost_per_token_above_200k_tokens": 3e-6,
    "output_cost_per_token_above_200k_tokens": 20e-6,
}


def table_of(tmp_path: Path, models: object) -> PriceTable:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(models))
    return PriceTable.read(path)


def test_each_kind_of_token_has_its_price(tmp_path: Path) -> None:
    usage = Usage(uncached_tokens=1000, cache_read_tokens=2000, cache_write_tokens=500, output_tokens=100)
    cost = table_of(tmp_path, {"lab/model": MODEL}).cost_usd("lab/model", usage)
    assert cost == pytest.approx(1000e-6 + 2000e-7 + 500 * 2e-6 + 100 * 10e-6)


def test_a_long_prompt_is_billed_at_the_long_price_from_the_first_token_beyond(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"m": MODEL})
    assert table.cost_usd("m", Usage(uncached_tokens=200_000)) == pytest.approx(0.2)
    assert table.cost_usd("m", Usage(uncached_tokens=200_001)) == pytest.approx(200_001 * 3e-6)


def test_a_cache_without_a_price_is_billed_as_input(tmp_path: Path) -> None:
    plain = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    assert table_of(tmp_path, {"m": plain}).cost_usd("m", Usage(cache_read_tokens=10)) == pytest.approx(10e-6)


@pytest.mark.parametrize("name", ["lab/model", "model", "gateway/lab/model", "LAB/Model-2026-01-31", "model-20260131"])
def test_a_model_is_found_under_any_provider_and_date(tmp_path: Path, name: str) -> None:
    assert table_of(tmp_path, {"lab/model": MODEL}).cost_usd(name, Usage(output_tokens=1)) == pytest.approx(10e-6)


def test_an_unknown_model_and_unknown_use_cost_nothing_that_is_known(tmp_path: Path) -> None:
    table = table_of(tmp_path, {"m": MODEL})
    assert table.cost_usd("other", Usage(output_tokens=1)) is None
    assert table.cost_usd(None, Usage(output_tokens=1)) is None
    assert table.cost_usd("m", Usage()) is None


def test_an_own_table_goes_before_the_list_prices_and_is_named(tmp_path: Path) -> None:
    own = list_prices().with_table(table_of(tmp_path, {"_about": {"origin": "contract"}, "gpt-5-mini": MODEL}))
    assert own.cost_usd("openai/gpt-5-mini", Usage(output_tokens=1)) == pytest.approx(10e-6)
    assert own.cost_usd("claude-opus-4-7", Usage(output_tokens=1)) == pytest.approx(25e-6)
    assert own.name.startswith("contract; else LiteLLM")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"m": {"input_cost_per_token": "free"}}', '{"m": 3}', "{"])
def test_a_file_without_prices_is_refused_with_its_path(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(content)
    with pytest.raises(FileUnreadable, match=r"prices\.json"):
        PriceTable.read(path)


def test_negative_and_endless_prices_are_no_prices(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable):
        table_of(tmp_path, {"m": {"input_cost_per_token": -1, "output_cost_per_token": 1}})


def test_an_agents_prices_are_the_jobs_or_those_that_the_runner_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, price in (("runner.json", 0.5), ("job.json", 0.25)):
        (tmp_path / name).write_text(
            json.dumps({"house-model": {"input_cost_per_token": price, "output_cost_per_token": 1}})
        )
    monkeypatch.setenv("LITELLM_MODEL_REGISTRY_PATH", str(tmp_path / "runner.json"))
    for kwargs, cost in (({}, 5.0), ({"pricing": str(tmp_path / "job.json")}, 2.5)):
        agent = create_agent(AgentConfig(name="codex", model_name="openai/house-model", kwargs=kwargs))
        assert isinstance(agent, InstalledAgent)
        assert agent.prices.cost_usd("openai/house-model", Usage(uncached_tokens=10)) == cost
