"""Experiments that consist of many runs: `python -m tools.reproduce NAME`."""
