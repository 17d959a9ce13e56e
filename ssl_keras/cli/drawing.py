"""Command lines and output files of the programs that draw."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ssl_keras import commands, plots
from ssl_keras.errors import UserError


def build_parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m PROGRAM`; the lines of `description` (its docstring) are printed as
    they are, with the names of programs as they are typed."""
    return argparse.ArgumentParser(
        prog=commands.as_typed(f"python -m {program}"),
        description=description and commands.as_typed(description),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def png_path(text: str) -> Path:
    """The path of a picture to write.

    Raises:
        UserError: it does not end in .png, or its folder does not exist.
    """
    path = Path(text)
    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise UserError(f"output is {path}; a .png file in an existing folder is needed.")
    return path


def save(figure: Any, output: Path, dpi: int = 130) -> None:
    """Write a matplotlib figure, close it, and print its path."""
    import matplotlib.pyplot as plt

    figure.tight_layout()
    plots.write(figure, output, dpi=dpi)
    plt.close(figure)
    print(f"Written: {output}")
