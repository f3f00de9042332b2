"""The schema of a mapping that forgives nothing, and what loads and holds one.

The house rule: a key that is not listed is a flaw, told with the key that was probably meant; what
is sound beside a flaw is read nevertheless.

Source: scenario format (docs/scenarios.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, ClassVar, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validates_schema

from vifsim.scenario.flaws import (
    MESSAGES,
    Flaw,
    Flaws,
    did_you_mean,
    flaws_of,
    messages_of,
    refusal,
)
from vifsim.scenario.text import shown


class Strict(Schema):
    """A mapping that may hold no key that is not listed.

    `exactly_one`: its keys are alternatives. `not_built`: keys that a later version may take.
    """

    class Meta:
        """Marshmallow's options."""

        unknown = EXCLUDE  # refused below, each with the name that was probably meant

    error_messages = MESSAGES
    exactly_one: ClassVar[bool] = False
    not_built: ClassVar[Collection[str]] = ()

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Return the keys of the mapping as they are written."""
        known = cast("Any", instance(cls)).fields
        return tuple(field.data_key or name for name, field in known.items())

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def refuse_unknown_keys(self, _data: object, original: object, **_: object) -> None:
        """Refuse what is not listed, and more than one of alternatives."""
        if not isinstance(original, Mapping):
            return
        given = cast("Mapping[str, object]", original)
        known = self.keys()
        unknown = {key: [self._unknown(key, known)] for key in given if key not in known}
        if unknown:
            raise ValidationError(cast("dict[str, Any]", unknown))
        if self.exactly_one and len(given) != 1:
            raise refusal(f"must hold exactly one of {', '.join(known)}")

    def _unknown(self, key: str, known: Collection[str]) -> Flaw:
        if key in self.not_built:
            return Flaw(f"{key} is not built yet", "leave it out", on_key=True)
        return Flaw(f"unknown key {shown(key)}", did_you_mean(key, known), on_key=True)


@cache
def instance(schema: type[Strict]) -> Strict:
    """Return the one instance of a schema: making one is slow, and it holds no state."""
    return schema()


def load_with(schema: type[Strict], data: object) -> tuple[Any, Flaws]:
    """Return what a schema makes of data, and its flaws.

    Where there are some, the first is the mapping of those values that are sound.
    """
    try:
        return cast("Any", instance(schema)).load(data), []
    except ValidationError as exc:
        return cast("Any", exc).valid_data or {}, list(flaws_of(messages_of(exc)))


def one(schema: type[Strict], doc: str, *, required: bool = False) -> fields.Nested:
    """Return a field that holds a mapping."""
    return fields.Nested(
        schema, required=required, error_messages=MESSAGES, metadata={"description": doc}
    )


def many(schema: type[Strict], doc: str) -> fields.List[Any]:
    """Return a field that holds a list of mappings."""
    inner = one(schema, doc)
    return fields.List(inner, error_messages=MESSAGES, metadata={"description": doc})
