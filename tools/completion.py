"""Completion of the programs, flags and choices of `ssl-keras` for bash.

    python -m tools.completion > ~/.ssl_keras_completion
    echo 'source ~/.ssl_keras_completion' >> ~/.bashrc

`ssl-keras ev<Tab>` gives evaluate, `ssl-keras train --lo<Tab>` --loss=, --log_every=, ..., and
`--loss=hy<Tab>` hypersphere_prior; every program has its flags.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import re
import sys
from collections.abc import Sequence

from ssl_keras.__main__ import PROGRAMS
from ssl_keras.cli import flags, startup
from ssl_keras.cli.drawing import build_parser

_FUNCTION = """\
_ssl_keras_complete() {
  local word="${COMP_LINE:0:COMP_POINT}" matches
  word="${word##* }"
  mapfile -t matches < <(compgen -W "$1" -- "$word")
  if [[ "$word" != *=* ]]; then
    # Values are offered once the flag is chosen.
    mapfile -t matches < <(printf '%s\\n' "${matches[@]}" | grep -v '=.')
  elif [[ "$COMP_WORDBREAKS" == *=* ]]; then
    # For bash the text before = is a separate word.
    matches=("${matches[@]#"${word%%=*}="}")
  fi
  COMPREPLY=("${matches[@]}")
}
_ssl_keras_names() {
  local matches
  mapfile -t matches < <(compgen -W "$1" -- "$2")
  COMPREPLY=("${matches[@]/%/ }")
}
"""


def listed_flags(program: str) -> dict[str, bool]:
    """The flags of `python -m ssl_keras.PROGRAM`, as listed by its --help -> whether it is a
    switch, which has no value."""
    caught = io.StringIO()
    with contextlib.redirect_stdout(caught), contextlib.suppress(SystemExit):
        module = f"ssl_keras.{program}"
        package = importlib.util.find_spec(module).submodule_search_locations  # type: ignore[union-attr]
        main = importlib.import_module(f"{module}.__main__" if package else module).main
        main([program, "--help"])
    entries = re.split(r"(?m)^ {2,4}--(\w+)", caught.getvalue())[1:]
    texts = dict(zip(entries[::2], entries[1::2], strict=True))
    if caught.getvalue().startswith("usage:"):  # argparse names the value of a flag that has one
        return {name: not re.match(r" \S", text) for name, text in texts.items() if name != "help"}
    switches = {n: bool(re.search(r"\[(True|False)\]", text)) for n, text in texts.items()}
    more = listed_flags("train") if "Takes the flags of" in caught.getvalue() else {}
    return {**more, **switches, "flagfile": False}


def words(program: str) -> list[str]:
    """What can stand on the command line: "--flag=", "--flag=choice", "--switch"."""
    defined = flags.define()
    known = {name: defined[name] for name in defined}
    result = []
    for name, is_switch in listed_flags(program).items():
        flag = known.get(name)
        if is_switch or (flag is not None and flag.boolean):
            result += [f"--{name}"] if flag is None else [f"--{name}", f"--no{name}"]
            continue
        result.append(f"--{name}=")
        setting = getattr(getattr(flag, "parser", None), "setting", None)
        choices = (setting.choices or ()) if setting is not None else ()
        result += [f"--{name}={choice}" for choice in choices]
    return [*result, "--help"]


def script() -> str:
    """The script for bash."""
    cases = [f"      {name}) _ssl_keras_complete '{' '.join(words(name))}' ;;" for name in PROGRAMS]
    return "\n".join(
        [
            _FUNCTION,
            "_ssl_keras() {",
            '  local typed=() line="${COMP_LINE:0:COMP_POINT}"',
            '  read -ra typed <<< "$line"',
            '  if [[ "$line" != *" "*" "* ]]; then',
            f"    _ssl_keras_names '{' '.join(PROGRAMS)}' \"${{typed[1]}}\"",
            "  else",
            '    case "${typed[1]}" in',
            *cases,
            "    esac",
            "  fi",
            "}",
            "complete -o nospace -o default -F _ssl_keras ssl-keras",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    build_parser("tools.completion", __doc__).parse_args(arguments)
    return startup.guarded(
        "tools.completion", lambda: print(script()), lambda: False, only_prints=True
    )


if __name__ == "__main__":
    sys.exit(main())
