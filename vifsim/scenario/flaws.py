"""What is wrong with a document, in a form that marshmallow carries about and gives back.

A field or a schema raises a `ValidationError` that holds `Flaw`s; marshmallow collects them by
path, and `flaws_of` gives them back as a flat list.

The house rule: a flaw about a value is a predicate ("must be …"); the key is put before it when it
is told, so that one field serves many keys.

Source: scenario format (docs/scenarios.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, cast

from marshmallow import ValidationError

from vifsim.scenario.text import Path, shown

Flaws = list[tuple[Path, "Flaw"]]


class Flaw(str):
    """One thing that is wrong, in a form that marshmallow carries about.

    Attributes:
        hint: what to do, or "".
        on_key: whether the key is at fault, not its value.
        predicate: whether the key is to be put before the text.
    """

    __slots__ = ("hint", "on_key", "predicate")
    hint: str
    on_key: bool
    predicate: bool

    def __new__(
        cls, detail: str, hint: str = "", *, on_key: bool = False, predicate: bool = False
    ) -> Flaw:
        """Make the text and put the rest beside it."""
        flaw = super().__new__(cls, detail)
        flaw.hint, flaw.on_key, flaw.predicate = hint, on_key, predicate
        return flaw

    def at(self, path: Path) -> str:
        """Return the whole sentence for a place in a document."""
        if not self.predicate:
            return str(self)
        last = max((i for i, step in enumerate(path) if isinstance(step, str)), default=0)
        subject = "".join(
            f"[{step}]" if isinstance(step, int) else shown(step) for step in path[last:]
        )
        return f"{subject or 'the document'} {self}"


def refusal(predicate: str, hint: str = "", *, key: str = "_schema") -> ValidationError:
    """Return the error of a field that cannot take its value, or of one key of a mapping."""
    return ValidationError([Flaw(predicate, hint, predicate=True)], key)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or ""."""
    return _nearest(word, tuple(known))


@lru_cache(maxsize=256)  # a mistake that is made a thousand times is looked at once
def _nearest(word: str, words: tuple[str, ...]) -> str:
    meant = word.lower()
    begun = [one for one in words if len(meant) > 2 and one.startswith(meant)]
    found = get_close_matches(meant, words, 1, 0.6) or begun
    return found[0] if found else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the hint with the nearest known word, or ""."""
    found = nearest(word, known)
    return f"did you mean {found}?" if found else ""


def flaws_of(messages: object, path: Path = ()) -> Iterator[tuple[Path, Flaw]]:
    """Yield the flaws of a `ValidationError`'s messages with their paths."""
    if isinstance(messages, Mapping):
        for key, inner in cast("Mapping[str | int, object]", messages).items():
            yield from flaws_of(inner, path if key == "_schema" else (*path, key))
    elif isinstance(messages, list):
        for item in cast("list[object]", messages):
            yield from flaws_of(item, path)
    else:
        yield path, messages if isinstance(messages, Flaw) else Flaw(str(messages), predicate=True)


def messages_of(exc: ValidationError) -> Any:
    """Return what marshmallow has collected in an error, for `flaws_of` or another error."""
    return cast("Any", exc).messages  # whose type marshmallow leaves half said


MESSAGES: dict[str, Any] = {
    "required": Flaw("is missing", predicate=True),
    "null": Flaw("has no value", predicate=True),
    "type": Flaw("must be a mapping", predicate=True),
    "invalid": Flaw("must be a list", predicate=True),
}
"""What fields and schemas say of what marshmallow itself looks at."""
