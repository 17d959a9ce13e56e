"""Digests of sources: what a run was trained on, whatever its path.

A digest is made from files alone, in a moment and without TensorFlow. So it is compared before a
run is continued, measured or skipped.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ssl_keras.datasets.sources import folder, glyphs, paired, text, tfds
from ssl_keras.datasets.sources.arrays import idx_files

LENGTH = 16


def source_digest(name: str, data_dir: str | None = None) -> str | None:
    """The digest of a source, 16 hexadecimal digits.

        folder:FOLDER          names (relative to the folder, so classes too) and sizes of the files
        idx:, npz:, csv:, text:, kjv   contents of the files
        pairs:FILE.csv         contents of the table, names and sizes of the files
        TensorFlow Datasets    name, version, and the number of examples of each file
        fonts:FOLDER           the same, of the fonts
        embedded               name; their versions are those of the packages they come with
        glyphs                 name, and the version of FreeType

    Args:
        name, data_dir: see `sources.load_source`.

    Returns:
        The digest, or None if the source cannot be read.
    """
    kind, _, path = name.partition(":")
    place = Path(path).expanduser()
    try:
        if kind == "folder":
            files = sorted(folder.image_files(name, path))
            return _digest(f"{file} {(place / file).stat().st_size}" for file in files)
        if kind == "fonts":
            root, fonts = glyphs.font_files(name)
            return _digest(f"{file.relative_to(root)} {file.stat().st_size}" for file in fonts)
        if name == "glyphs":
            return _digest([name, glyphs.drawn_by()])
        if kind == "idx":
            return _digest(_file_digest(file) for file in idx_files(place).values())
        if kind == "text" or name in text.EMBEDDED:
            texts = text.text_files(name)
            named = [f"{file.name} " if len(texts) > 1 else "" for file in texts]
            return _digest(n + _file_digest(f) for n, f in zip(named, texts, strict=True))
        if kind == "pairs":
            pairs = [file for pair in paired.read_pairs(name)[0] for file in pair]
            sizes = (f"{file.name} {file.stat().st_size}" for file in pairs)
            return _digest([_file_digest(place), *sizes])
        if kind in ("npz", "csv"):
            return _file_digest(place)
        infos = [] if name in tfds.EMBEDDED else tfds.infos(name, data_dir)
        prepared = [_counted(json.loads(info.read_text())) for info in infos]
        return _digest([name, json.dumps(prepared)])
    except (OSError, ValueError, KeyError, TypeError):  # a `UserError` is a ValueError
        return None


def _counted(info: dict[str, Any]) -> list[Any]:
    """Name and version of a prepared data set, and what its files hold."""
    splits = [[split["name"], split["shardLengths"]] for split in info["splits"]]
    return [info["name"], info["version"], splits]


def _digest(parts: Iterable[str]) -> str:
    hashed = hashlib.blake2b("\n".join(parts).encode(errors="surrogateescape"))
    return hashed.hexdigest()[:LENGTH]


def _file_digest(path: Path) -> str:
    state = path.stat()
    return _hashed(str(path), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _hashed(path: str, size: int, changed: int) -> str:
    """The digest of a file's contents, read once as long as it does not change."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:LENGTH]
