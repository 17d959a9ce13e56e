"""Walks through a maze: a state and an action, and a state that lies ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ssl_keras import files
from ssl_keras.datasets.base import BuildContext, DataSet, DatasetBuilder, class_target
from ssl_keras.datasets.examples import ArrayExamples
from ssl_keras.datasets.splits import Split
from ssl_keras.errors import UserError
from ssl_keras.inputs import Vectors
from ssl_keras.options import option
from ssl_keras.paths import local_path

# Four rooms with doors: Sutton, Precup and Singh 1999, "Between MDPs and semi-MDPs", figure 2.
FOUR_ROOMS = """
#############
#     #     #
#     #     #
#           #
#     #     #
#     #     #
## ####     #
#     ### ###
#     #     #
#     #     #
#           #
#     #     #
#############
"""
# (row, column) of a step; a step into a wall stays.
ACTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True)
class Maze:
    """A maze.

    Attributes:
        cells: int (states, 2), row and column of each state, in reading order.
        next_state: int (states, actions).
    """

    cells: np.ndarray
    next_state: np.ndarray

    @classmethod
    def parse(cls, text: str, name: str) -> Maze:
        """A maze from lines of text: "#" is a wall, anything else a state; outside are walls.

        Raises:
            UserError: fewer than two states, or parts that no way connects.
        """
        lines = text.strip("\n").splitlines()
        cells = [
            (row, column)
            for row, line in enumerate(lines)
            for column, letter in enumerate(line)
            if letter != "#"
        ]
        if len(cells) < 2:
            raise UserError(
                f"The maze {name} has {len(cells)} free cells; at least 2 are needed: '#' is a "
                "wall, a space is free."
            )
        number = {cell: index for index, cell in enumerate(cells)}
        next_state = [
            [number.get((row + down, column + right), state) for down, right in ACTIONS]
            for state, (row, column) in enumerate(cells)
        ]
        maze = cls(np.array(cells), np.array(next_state))
        reached = int(np.isfinite(shortest_paths(maze.next_state)[0]).sum())
        if reached < len(cells):
            raise UserError(
                f"The maze {name} has parts that no way connects: {reached} of its {len(cells)} "
                "cells can be reached from the first one."
            )
        return maze

    def walks(self, count: int, length: int, generator: np.random.Generator) -> Any:
        """(states (count, length + 1), actions (count, length)) of random walks from random
        states."""
        states = np.empty((count, length + 1), np.int64)
        states[:, 0] = generator.integers(0, len(self.cells), count)
        actions = generator.integers(0, len(ACTIONS), (count, length))
        for step in range(length):
            states[:, step + 1] = self.next_state[states[:, step], actions[:, step]]
        return states, actions


def shortest_paths(next_state: np.ndarray) -> np.ndarray:
    """Least number of steps from each state to each other: float (states, states); inf if none."""
    count = len(next_state)
    steps = np.full((count, count), np.inf)
    np.fill_diagonal(steps, 0.0)
    for _ in range(count):
        shorter = np.minimum(steps, 1.0 + steps[next_state].min(axis=1))
        if np.array_equal(shorter, steps):
            break
        steps = shorter
    return steps


def steps_ahead(left: np.ndarray, discount: float, generator: np.random.Generator) -> np.ndarray:
    """k with P(k) ~ discount^(k - 1) for 1 <= k <= left: a geometric law, cut off where the walk
    ends."""
    draws = generator.random(left.shape)
    mass = 1.0 - discount ** left.astype(np.float64)
    steps = np.ceil(np.log1p(-draws * mass) / np.log(discount))
    return np.clip(steps, 1, left).astype(np.int64)


@dataclass(frozen=True)
class FourRooms(DatasetBuilder):
    """Pairs (state and action, a later state) of random walks through a maze.

        example: one-hot state, one-hot action;  partner: one-hot state, zeros
        partner: the state k steps later in the walk, k ~ Geometric(1 - discount)

    with `--views=given --method=two_towers`, the similarity of both is a critic f(s, a, g):
    exp(f) is proportional to the discounted occupancy of g after (s, a), over its marginal.
    Eysenbach et al. 2022, "Contrastive learning as goal-conditioned reinforcement learning" (arXiv
    2206.07568). The test examples are all states with all actions; the partner of the n-th is the
    state n modulo their number, so that all goals are among the partners. Targets: the state and
    the next one, whose names are "row,column".
    """

    default_encoder: ClassVar[str] = "mlp"
    source_kind: ClassVar[str] = "vectors"

    maze: str | None = option(
        None,
        help="text file of a maze, '#' for walls (four rooms of 13x13 cells)",
        convert=local_path,
    )
    num_walks: int = option(1000, minimum=1, help="number of random walks through the maze")
    walk_length: int = option(100, minimum=2, help="steps of a random walk")
    discount: float = option(
        0.95, above=0, below=1, help="how far ahead goals lie: 1 / (1 - discount) steps on average"
    )

    def build(self, context: BuildContext) -> DataSet:
        name, text = "four_rooms", FOUR_ROOMS
        if self.maze is not None:
            name = self.maze
            try:
                text = files.read_text(Path(name))
            except (OSError, ValueError) as error:
                raise UserError(f"The maze {name} cannot be read: {error}") from None
        maze = Maze.parse(text, name)
        count = len(maze.cells)
        generator = np.random.default_rng([context.seed, 9])
        states, actions = maze.walks(self.num_walks, self.walk_length, generator)
        times = np.broadcast_to(np.arange(self.walk_length), actions.shape)
        ahead = steps_ahead(self.walk_length - times, self.discount, generator)
        goals = np.take_along_axis(states, times + ahead, axis=1)
        names = [f"{row},{column}" for row, column in maze.cells]
        every = np.repeat(np.arange(count), len(ACTIONS))
        tests = every, np.tile(np.arange(len(ACTIONS)), count), np.arange(len(every)) % count
        train = states[:, :-1].ravel(), actions.ravel(), goals.ravel()
        targets = {
            "state": class_target("state", every, count, names),
            "next_state": class_target("next_state", maze.next_state.ravel(), count, names),
        }
        dim = count + len(ACTIONS)
        return DataSet(
            name=f"{self.num_walks} walks of {self.walk_length} steps through {name}",
            train=_split(*train, maze),
            test=_split(*tests, maze),
            targets=targets,
            modality=Vectors(np.zeros(dim, np.float32), np.ones(dim, np.float32)),
        )


def _split(states: np.ndarray, actions: np.ndarray, goals: np.ndarray, maze: Maze) -> Split:
    """The pairs; vectors are made when they are used."""
    from ssl_keras.lazy import tf

    count = len(maze.cells)
    columns = {"state": states, "action": actions, "goal": goals}
    next_state = tf.constant(maze.next_state, tf.int32)

    def compose(batch: Mapping[str, Any]) -> dict[str, Any]:
        state, action = batch["state"], batch["action"]
        first = [
            tf.one_hot(state, count, dtype=tf.uint8),
            tf.one_hot(action, len(ACTIONS), dtype=tf.uint8),
        ]
        second = [tf.one_hot(batch["goal"], count, dtype=tf.uint8), tf.zeros_like(first[1])]
        after = tf.gather_nd(next_state, tf.stack([state, action], axis=1))
        return {
            "example": {"x": tf.concat(first, axis=1)},
            "partner": {"x": tf.concat(second, axis=1)},
            "labels": {"state": tf.cast(state, tf.int32), "next_state": after},
        }

    return Split(ArrayExamples(columns, None), compose)
