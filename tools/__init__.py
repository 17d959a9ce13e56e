"""Scripts around the package: `python -m tools.NAME --help`. The package does not import them."""
