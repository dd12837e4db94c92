"""`pieratif convert`: logs that exist already, whoever ran the agent, to a trajectory with its images beside it."""

from dataclasses import dataclass
from pathlib import Path

from runs.agents.conversion.base import ConversionContext
from runs.agents.conversion.directory import convert_directory
from runs.agents.conversion.images import ImageStore
from runs.agents.registry import converter_of
from runs.errors import FileUnreadable
from runs.files import write_atomically
from runs.formats.reading import read_text
from runs.formats.trajectory import dump_trajectory
from runs.prices.table import PriceTable, list_prices

MAX_INSTRUCTION_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Converted:
    """What came of the logs. Tokens and cost include sub-agents; None is unknown."""

    n_steps: int
    n_subagents: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    warnings: tuple[str, ...]

    def summary(self) -> str:
        """One line for people."""
        parts = [_counted(self.n_steps, "step"), _counted(self.n_subagents, "sub-agent") if self.n_subagents else ""]
        if self.input_tokens is not None:
            parts.append(f"{self.input_tokens} input and {self.output_tokens or 0} output tokens")
        if self.cost_usd is not None:
            parts.append(f"{self.cost_usd:.4f} USD")
        return ", ".join(part for part in parts if part)


def convert_logs(
    agent: str, logs: Path, output: Path, *, instruction: Path | None, model: str | None, pricing: Path | None
) -> Converted:
    """Convert a folder of logs and write the trajectory to `output`; nothing is written where there is no step.

    Raises UnknownAgent, FileUnreadable.
    """
    if not logs.is_dir():
        raise FileUnreadable(logs, "there is no such folder")
    if not output.parent.is_dir() or output.is_dir():
        raise FileUnreadable(output, "it is no file in a folder that exists")
    prices = list_prices().with_table(PriceTable.read(pricing) if pricing else None)
    asked = read_text(instruction, MAX_INSTRUCTION_BYTES) if instruction else None
    context = ConversionContext(asked, model, None, None, prices)
    converter = converter_of(agent)(context, images=ImageStore(output.parent))
    trajectory = convert_directory(logs, converter)
    totals = converter.totals()
    if trajectory is not None:
        write_atomically(output, dump_trajectory(trajectory))
    return Converted(
        n_steps=len(trajectory.steps) if trajectory else 0,
        n_subagents=len(trajectory.subagent_trajectories or ()) if trajectory else 0,
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cost_usd=totals.cost_usd,
        warnings=tuple(converter.warnings),
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
