"""Commands and their screens: what the command line says, and the exit codes that it ends with.

A command is a module of this package with `add_arguments` and `run`; the table below names them,
and only the one that is asked for is imported.

The house rule: no logic here; an error is one line on standard error, with a hint.

Source: exit codes and flags, docs/cli.md.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from vifsim.errors import UsageError
from vifsim.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COMMANDS: dict[str, str] = {
    "demo": "watch a careful client meet a careless cloud",
    "serve": "run a simulated cloud until it is stopped",
    "chaos": "run a client against clouds that misbehave, and judge it",
    "hunt": "search for the smallest schedule of faults that breaks a client",
    "scenarios": "list, show, check and plan scenarios",
    "scorecard": "say how well the client of an exported journal copes",
    "replay": "run another build of a client against the decisions of a recorded run",
    "explain": "say why each rule fired for a call or did not",
    "backends": "list the backends that are installed",
    "openapi": "print the OpenAPI document of both APIs",
    "amend": "change a running cloud by hand",
    "snapshot": "save or load a running cloud",
}
"""Each command, in the order in which the help shows them."""

OK, FOUND, USAGE, UNREACHED, NOTHING = range(5)
"""0 done · 1 it ran, and found or failed · 2 usage · 3 never reached · 4 nothing was exercised."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with a hint."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{message}{_hint(self, message)} (see {self.prog} --help)")


def _hint(parser: argparse.ArgumentParser, message: str) -> str:
    """Return a did-you-mean for a flag that is not known."""
    _, _, words = message.partition("unrecognized arguments: ")
    flags = [flag for action in parser._actions for flag in action.option_strings]  # noqa: SLF001 -- argparse lists its flags nowhere else
    near = _nearest(words.split()[0], flags) if words else None
    return f": did you mean {near}?" if near else ""


def _nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was meant, as far as one can tell."""
    from difflib import get_close_matches  # noqa: PLC0415 -- for a mistake only

    return next(iter(get_close_matches(word, list(known), n=1)), None)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    own, command = _split(arguments)
    try:
        return _run(own, command)
    except UsageError as exc:
        lines = str(exc).splitlines() or [""]
        prefix = "" if len(lines) > 1 or _has_place(lines[0]) else "vifsim: "
        for line in lines:
            sys.stderr.write(f"{prefix}{line}\n")
        return exc.exit_code
    except KeyboardInterrupt:
        return FOUND
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _has_place(line: str) -> bool:
    """Return whether an error names its place itself, as `FILE:LINE:COLUMN: text`."""
    parts = line.split(":", 3)
    return len(parts) == 4 and parts[1].isdigit() and parts[2].isdigit()


def _split(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """Return our own arguments and the command after `--`, None where there is no `--`."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _run(own: list[str], command: list[str] | None) -> int:
    parser = Parser(
        prog="vifsim",
        description="A cloud that is not there: a simulator of the virtual interface API, "
        "with faults that repeat.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n" + "\n".join(f"  {name:11}{text}" for name, text in COMMANDS.items()),
    )
    parser.add_argument("--version", action="version", version=f"vifsim {__version__}")
    parser.add_argument("command", metavar="COMMAND", nargs="?")
    if not own or own[0] not in COMMANDS:
        return _no_command(parser, own)
    name = own[0]
    options = parser_of(name).parse_args(own[1:])
    options.client = command
    if command is not None and not takes_command(name):
        raise UsageError(f"{name} takes no command after --")
    return int(_module(name).run(options))


def parser_of(name: str) -> Parser:
    """Return the parser of one command's arguments."""
    text = COMMANDS[name]
    parser = Parser(prog=f"vifsim {name}", description=f"{text[0].upper()}{text[1:]}.")
    _module(name).add_arguments(parser)
    return parser


def takes_command(name: str) -> bool:
    """Return whether a command runs another one, given after `--`."""
    return getattr(_module(name), "TAKES_COMMAND", False)


@cache
def _module(name: str) -> Any:
    """Import a command; what an import makes stays, so the garbage collector is spared it."""
    gc.disable()
    try:
        return import_module(f"vifsim.cli.{name}")
    finally:
        gc.freeze()
        gc.enable()


def _no_command(parser: Parser, own: list[str]) -> int:
    parser.parse_args(own[:1] if own and own[0].startswith("-") else [])
    if not own:
        parser.print_help(sys.stderr)
        return USAGE
    near = _nearest(own[0], COMMANDS)
    hint = f"did you mean {near}?" if near else f"known: {', '.join(COMMANDS)}"
    raise UsageError(f"there is no command {own[0]} ({hint})")
