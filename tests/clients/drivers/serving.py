# The client libraries, whose values go through here, have no types.
# mypy: ignore-errors
# pyright: basic
"""Lets a test drive a client library that lives in an environment of its own.

The house rule: a line of JSON in is one method of the client, a line out what it gave or raised.
"""

import json
import os
import sys
import traceback


class Driven:
    """A client library behind the few methods that the tests call."""

    def refusal(self, exc):
        """Return what the library says of an error: `status`, `message`, `retry_after`."""
        return {"message": str(exc)}


def serve(client):
    """Do what standard input asks until it ends; whatever a library prints goes to stderr."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            reply = {"value": getattr(client, asked["do"])(*asked["args"])}
        except Exception as exc:  # noqa: BLE001 -- the test judges what the library raised
            traceback.print_exc()
            reply = {"refusal": {"kind": type(exc).__name__, **client.refusal(exc)}}
        print(json.dumps(reply), file=replies, flush=True)
