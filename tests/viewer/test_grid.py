from runs.models import Status, Trial
from viewer.grid import MAX_CELLS, grid_of


def trial(task: str, agent: str, attempt: int = 1, reward: float | None = 1.0) -> Trial:
    return Trial(pk=attempt, task_name=task, agent_name=agent, attempt=attempt, reward=reward, status=Status.FINISHED)


def test_each_attempt_has_a_cell_under_its_agent() -> None:
    grid = grid_of(["a", "b"], [trial("a", "x"), trial("a", "x", 2, 0.0), trial("a", "y"), trial("b", "y", 1, 0.5)])
    assert grid.agents == [("x", ""), ("y", "")]
    assert [[cell.outcome.short for cell in group.cells] for group in grid.rows[0].groups] == [["1", "0"], ["1"]]
    assert [[cell.outcome.short for cell in group.cells] for group in grid.rows[1].groups] == [[], [".5"]]


def test_a_trial_without_a_reward_is_not_a_zero_in_the_mean() -> None:
    row = grid_of(["a"], [trial("a", "x", 1, 1.0), trial("a", "x", 2, None)]).rows[0]
    assert (row.mean, row.n_rewarded) == (1.0, 1)
    assert grid_of(["a"], [trial("a", "x", 1, None)]).rows[0].mean is None


def test_hundreds_of_attempts_are_counted_not_drawn() -> None:
    group = grid_of(["a"], [trial("a", "x", n + 1) for n in range(MAX_CELLS + 7)]).rows[0].groups[0]
    assert (len(group.cells), group.n_more) == (MAX_CELLS, 7)
