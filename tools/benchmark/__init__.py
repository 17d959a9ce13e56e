"""What things cost, see `python -m tools.benchmark --help`."""
