"""Walks through a maze: its dynamics, the law of the goals, and what the policy reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras import datasets
from ssl_keras.datasets import Target
from ssl_keras.datasets.four_rooms import (
    ACTIONS,
    FOUR_ROOMS,
    Maze,
    shortest_paths,
    steps_ahead,
)
from ssl_keras.errors import UserError
from ssl_keras.evaluators.base import FrozenFeatures, ViewFeatures
from ssl_keras.evaluators.goal_reaching import GoalReaching, random_steps, steps_of_policy


@pytest.fixture(scope="module")
def maze() -> Maze:
    return Maze.parse(FOUR_ROOMS, "four_rooms")


def test_a_step_goes_to_the_neighbouring_cell_or_stays(maze: Maze) -> None:
    lines = FOUR_ROOMS.strip("\n").splitlines()
    assert len(maze.cells) == sum(line.count(" ") for line in lines) == 104
    for state, (row, column) in enumerate(maze.cells):
        for action, (down, right) in enumerate(ACTIONS):
            free = lines[row + down][column + right] == " "
            expected = (row + down, column + right) if free else (row, column)
            assert tuple(maze.cells[maze.next_state[state, action]]) == expected


def test_shortest_paths_are_those_of_a_search(maze: Maze) -> None:
    found = shortest_paths(maze.next_state)
    start = 17
    distance, frontier = {start: 0}, [start]
    while frontier:
        state = frontier.pop(0)
        for following in maze.next_state[state]:
            if following not in distance:
                distance[following] = distance[state] + 1
                frontier.append(following)
    np.testing.assert_array_equal(found[start], [distance[goal] for goal in range(104)])
    np.testing.assert_array_equal(found, found.T)  # every step can be undone


def test_goals_lie_ahead_by_a_geometric_law_that_is_cut_off() -> None:
    generator = np.random.default_rng(0)
    steps = steps_ahead(np.full(100_000, 10_000), 0.9, generator)
    shares = np.bincount(steps, minlength=6)[1:6] / len(steps)
    np.testing.assert_allclose(shares, 0.1 * 0.9 ** np.arange(5), atol=0.004)
    assert np.mean(steps) == pytest.approx(10, abs=0.15)
    few = steps_ahead(np.full(60_000, 3), 0.9, generator)
    expected = 0.9 ** np.arange(3) / np.sum(0.9 ** np.arange(3))
    np.testing.assert_allclose(np.bincount(few)[1:] / len(few), expected, atol=0.01)
    np.testing.assert_array_equal(steps_ahead(np.ones(50, int), 0.95, generator), np.ones(50))


def test_examples_are_one_hot_pairs_of_one_walk(maze: Maze) -> None:
    data = datasets.load("four_rooms", seed=0, num_walks=20, walk_length=30)
    batch = next(iter(data.train.batches(600)))
    first, second = (np.asarray(batch[part]["x"]) for part in ("example", "partner"))
    assert first.shape == second.shape == (600, 108)
    np.testing.assert_array_equal(first.sum(axis=1), 2)
    np.testing.assert_array_equal(second.sum(axis=1), 1)
    state, action = first[:, :104].argmax(axis=1), first[:, 104:].argmax(axis=1)
    np.testing.assert_array_equal(batch["labels"]["state"], state)
    np.testing.assert_array_equal(batch["labels"]["next_state"], maze.next_state[state, action])
    # The state after a step is the state of the next example, within a walk.
    after = maze.next_state[state, action].reshape(20, 30)
    np.testing.assert_array_equal(after[:, :-1], state.reshape(20, 30)[:, 1:])
    # A goal lies in the rest of the walk.
    goals = second[:, :104].argmax(axis=1).reshape(20, 30)
    for walk in range(20):
        for time in range(30):
            assert goals[walk, time] in after[walk, time:]
    test = next(iter(data.test.batches(416)))
    partner = np.asarray(test["partner"]["x"]).argmax(axis=1)
    np.testing.assert_array_equal(partner, np.arange(416) % 104)
    again = datasets.load("four_rooms", seed=0, num_walks=20, walk_length=30)
    np.testing.assert_array_equal(next(iter(again.train.batches(600)))["partner"]["x"], second)
    assert data.targets["state"].names[:2] == ("1,1", "1,2")


def features_of(critic: np.ndarray, maze: Maze) -> FrozenFeatures:
    """Features whose inner product is `critic` (states, actions, goals)."""
    count = len(maze.cells)
    first = critic.reshape(-1, count)
    second = np.eye(count)[np.arange(len(first)) % count]
    names = tuple(f"{row},{column}" for row, column in maze.cells)
    target = Target("state", "class", count, 0.1, 0.1, names)
    labels = {
        "state": np.repeat(np.arange(count), len(ACTIONS)),
        "next_state": maze.next_state.ravel(),
    }
    views = ViewFeatures(np.arange(len(first)), first, second)
    return FrozenFeatures(first, first, labels, labels, {"state": target}, views)


def test_the_true_distances_reach_every_goal_on_the_shortest_path(maze: Maze) -> None:
    shortest = shortest_paths(maze.next_state)
    frozen = features_of(-shortest[maze.next_state], maze)
    values = dict(GoalReaching().evaluate(frozen, 0))
    assert values["maze/success"] == 1.0
    assert values["maze/path_ratio"] == 1.0
    few = dict(GoalReaching(goal_steps=3).evaluate(frozen, 0))
    others = ~np.eye(104, dtype=bool)
    assert few["maze/success"] == pytest.approx(np.mean(shortest[others] <= 3))
    ((_, picture),) = GoalReaching(goal_shown=2).draw({"features": frozen}, 0)
    assert picture.ndim == 3


def test_one_action_for_all_goals_reaches_what_lies_that_way(maze: Maze) -> None:
    right = np.full((104, 104), 3)
    steps = steps_of_policy(right, maze.next_state, 50)
    row_1 = [state for state, (row, _) in enumerate(maze.cells) if row == 1]
    np.testing.assert_array_equal(steps[row_1[0], row_1[:5]], np.arange(5))
    assert not np.isfinite(steps[row_1[0], row_1[5]])  # behind the wall
    assert not np.isfinite(steps[row_1[1], row_1[0]])


def test_random_walks_arrive_more_often_the_longer_they_are(maze: Maze) -> None:
    generator = np.random.default_rng(0)
    shares = [
        np.isfinite(random_steps(maze.next_state, limit, generator)).mean()
        for limit in (10, 50, 500)
    ]
    assert shares == sorted(shares)
    assert 0.1 < shares[1] < 0.25


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("####\n# ##\n####\n", "has 1 free cells; at least 2 are needed"),
        ("#####\n# # #\n#####\n", "has parts that no way connects: 1 of its 2 cells"),
    ],
)
def test_mazes_that_are_none_are_told(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "maze.txt").write_text(text)
    with pytest.raises(UserError, match=sentence):
        datasets.load("four_rooms", maze=str(tmp_path / "maze.txt"))
    with pytest.raises(UserError, match="cannot be read"):
        datasets.load("four_rooms", maze=str(tmp_path / "missing.txt"))


def test_a_maze_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "maze.txt").write_text("#######\n#     #\n# ### #\n#     #\n#######\n")
    data: Any = datasets.load("four_rooms", maze=str(tmp_path / "maze.txt"), num_walks=5)
    assert data.input_shape == (12 + 4,)
