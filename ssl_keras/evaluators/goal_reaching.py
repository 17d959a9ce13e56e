"""Whether the similarity of two towers leads through a maze."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ssl_keras import pictures
from ssl_keras.datasets.four_rooms import shortest_paths
from ssl_keras.errors import UserError
from ssl_keras.evaluators.base import Evaluator, FrozenFeatures, spread
from ssl_keras.neighbours import unit_rows
from ssl_keras.options import option


@dataclass(frozen=True)
class GoalReaching(Evaluator):
    """The policy that takes the action nearest to the goal, from every state to every other.

        policy(s, g) = argmax_a f(s, a, g),   f the inner product of the representations of both

    `success`: share of (start, goal) pairs that arrive within `goal_steps` steps; `path_ratio`:
    steps of those that arrive, relative to the shortest path, the mean. `cosine_success` and
    `cosine_path_ratio` are of the policy by the cosine, which is the critic of losses that
    normalise. `random_success` is of a policy that draws its actions. The control "untrained" is
    the policy of the untrained towers. The picture shows max_a f over the maze for some goals.

    For the examples of the data set four_rooms. Eysenbach et al. 2022 (arXiv 2206.07568).
    """

    needs_labels: ClassVar[bool] = False  # nothing is fitted
    needs_targets: ClassVar[tuple[str, ...]] = ("state", "next_state")

    goal_steps: int = option(50, minimum=1, help="steps in which a policy has to reach the goal")
    goal_shown: int = option(4, minimum=1, maximum=12, help="goals in the picture of goal_reaching")

    @property
    def num_views(self) -> int:
        return 10**9  # all test examples

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        next_state = _next_states(frozen)
        shortest = shortest_paths(next_state)
        for prefix, values in (("", _critic(frozen)), ("cosine_", _critic(frozen, cosine=True))):
            steps = steps_of_policy(values.argmax(axis=1), next_state, self.goal_steps)
            success, ratio = _summary(steps, shortest)
            yield f"maze/{prefix}success", success
            if np.isfinite(ratio):
                yield f"maze/{prefix}path_ratio", ratio
        generator = np.random.default_rng([seed, 10])
        walks = random_steps(next_state, self.goal_steps, generator)
        yield "maze/random_success", _summary(walks, shortest)[0]

    def draw(
        self, subjects: Mapping[str, FrozenFeatures], seed: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        for title, frozen in subjects.items():
            names = frozen.targets["state"].names
            cells = np.array([[int(number) for number in name.split(",")] for name in names])
            values = _critic(frozen, cosine=True).max(axis=1)
            maps = {}
            for goal in spread(len(cells), self.goal_shown):
                maze = np.full(cells.max(axis=0) + 2, np.nan)
                maze[cells[:, 0], cells[:, 1]] = values[:, goal]
                maps[f"goal {names[goal]}"] = maze
            yield title, pictures.fields(maps, f"similarity to a goal: {title}")


def _next_states(frozen: FrozenFeatures) -> np.ndarray:
    """int (states, actions). The test examples are all states with all actions, in order."""
    states = frozen.test_labels["state"]
    count = int(states.max()) + 1
    return frozen.test_labels["next_state"].reshape(count, -1)


def _critic(frozen: FrozenFeatures, cosine: bool = False) -> np.ndarray:
    """f(s, a, g): (states, actions, goals)."""
    views = frozen.views
    if views is None or len(views.rows) != len(frozen.test):
        raise UserError("goal_reaching needs both towers' features of all test examples.")
    shape = _next_states(frozen).shape
    first, second = views.first, views.second[: shape[0]]
    if cosine:
        first, second = unit_rows(first), unit_rows(second)
    return (first @ second.T).reshape(*shape, -1)


def steps_of_policy(actions: np.ndarray, next_state: np.ndarray, limit: int) -> np.ndarray:
    """Steps from each state to each goal: float (states, goals); inf if more than `limit`.

    Args:
        actions: int (states, goals), the action for a goal.
        next_state: int (states, actions).
        limit: number of steps.
    """
    goals = np.arange(len(next_state))[None, :]
    return _steps(lambda places: actions[places, goals], next_state, limit)


def random_steps(next_state: np.ndarray, limit: int, generator: np.random.Generator) -> np.ndarray:
    """`steps_of_policy` of random actions: one walk for each start and goal."""
    num_actions = next_state.shape[1]
    return _steps(
        lambda places: generator.integers(0, num_actions, places.shape), next_state, limit
    )


def _steps(
    choose: Callable[[np.ndarray], np.ndarray], next_state: np.ndarray, limit: int
) -> np.ndarray:
    """`steps_of_policy` of the actions that `choose` takes at places (states, goals)."""
    count = len(next_state)
    goals = np.arange(count)[None, :]
    places = np.repeat(np.arange(count)[:, None], count, axis=1)
    steps = np.where(places == goals, 0.0, np.inf)
    for step in range(1, limit + 1):
        places = next_state[places, choose(places)]
        steps = np.minimum(steps, np.where(places == goals, float(step), np.inf))
    return steps


def _summary(steps: np.ndarray, shortest: np.ndarray) -> tuple[float, float]:
    """(share that arrives, mean steps relative to the shortest path), of different start and
    goal."""
    others = ~np.eye(len(steps), dtype=bool)
    arrived = np.isfinite(steps) & others
    ratio = float(np.mean(steps[arrived] / shortest[arrived])) if arrived.any() else float("nan")
    return float(np.mean(arrived[others])), ratio
