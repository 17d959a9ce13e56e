"""Stateless random numbers, one for each example index, stable across versions."""

from __future__ import annotations

import zlib

import numpy as np


def random_integers(seed: int, stream: str, count: int) -> np.ndarray:
    """One 32-bit integer for each of the examples 0 ... count - 1: uint32 (count,).

    The high half of SplitMix64 (Steele, Lea, Flood 2014) of the index, with one sequence for each
    (seed, stream).
    """
    start = (np.uint64(seed) << np.uint64(32)) | np.uint64(zlib.crc32(stream.encode()))
    first = _mix(np.array([start], np.uint64))
    return (_mix(first + np.arange(count, dtype=np.uint64)) >> np.uint64(32)).astype(np.uint32)


def random_below(seed: int, stream: str, count: int, limit: int) -> np.ndarray:
    """One integer in [0, limit) for each example: int64 (count,)."""
    wide = random_integers(seed, stream, count).astype(np.uint64) * np.uint64(limit)
    return (wide >> np.uint64(32)).astype(np.int64)


def random_order(seed: int, stream: str, count: int) -> np.ndarray:
    """A permutation of 0 ... count - 1."""
    return np.argsort(random_integers(seed, stream, count), kind="stable")


def _mix(state: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        state = state * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))
