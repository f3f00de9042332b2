"""One HTTP call on a connection of its own: all that the clients beside this file share."""

from __future__ import annotations

import http.client
import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

URL = os.environ["VIFSIM_URL"]
SERVER = os.environ["VIFSIM_SERVER_ID"]
NETWORK = os.environ["VIFSIM_NETWORK_ID"]
ATTACHED = f"/v2/{os.environ['VIFSIM_TENANT']}/servers/{SERVER}/os-virtual-interfacesv2"
WANTED = {"virtual_interface": {"network_id": NETWORK}}
FAILURES = (OSError, http.client.HTTPException)


@dataclass
class Answer:
    """What came back."""

    status: int
    retry_after: str | None
    body: Any


def call(
    method: str, path: str, body: Any = None, *, token: str | None = None, timeout: float | None = 9
) -> Answer:
    """Make one call; raise one of `FAILURES` where no whole answer comes."""
    place = urlsplit(URL)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=timeout)
    headers = {"Content-Type": "application/json", "Connection": "close"}
    headers["X-Auth-Token"] = token or os.environ["VIFSIM_TOKEN"]
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, headers)
        answer = connection.getresponse()
        raw = answer.read()
    finally:
        connection.close()
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    return Answer(answer.status, answer.headers.get("Retry-After"), value)


def log_in() -> str:
    """Log in with the password and return the token."""
    credentials = {"username": os.environ["OS_USERNAME"], "password": os.environ["OS_PASSWORD"]}
    answer = call("POST", "/v2.0/tokens", {"auth": {"passwordCredentials": credentials}})
    return str(answer.body["access"]["token"]["id"])


def id_of(answer: Answer) -> str:
    """Return the id of the interface that was made."""
    return str(answer.body["virtual_interfaces"][0]["id"])
