"""requests with urllib3's Retry as it is pasted everywhere: POST is not retried, no time-out."""

from __future__ import annotations

import os

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry
from wire import ATTACHED, URL, WANTED

session = requests.Session()
session.trust_env = False
session.headers["X-Auth-Token"] = os.environ["VIFSIM_TOKEN"]
retry = Retry(total=5, backoff_factor=0.1, status_forcelist=[500, 502, 503, 504])
session.mount("http://", HTTPAdapter(max_retries=retry))


def ask(method: str, path: str, body: object = None) -> requests.Response:
    answer = session.request(method, URL + path, json=body)
    answer.raise_for_status()
    return answer


ask("GET", ATTACHED)
made = ask("POST", ATTACHED, WANTED).json()["virtual_interfaces"][0]["id"]
ask("DELETE", f"{ATTACHED}/{made}")
