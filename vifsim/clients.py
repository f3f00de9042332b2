"""How clients are told where a cloud is: variables, files, and ready clients.

The house rule: what is written here is all that a client needs, under the names that it knows.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vifsim.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp
    import httpx


def variables(
    url: str, user: Mapping[str, str], *, server: str, network: str, region: str
) -> dict[str, str]:
    """Return the variables that lead to a cloud, by name.

    Args:
        url: of the cloud.
        user: its tenant, name, password and token.
        server: the id of a server to try things on.
        network: the id of a network to attach it to.
        region: that the catalog names.
    """
    return {
        "VIFSIM_URL": url,
        "VIFSIM_TOKEN": user["token"],
        "VIFSIM_TENANT": user["tenant"],
        "VIFSIM_SERVER_ID": server,
        "VIFSIM_NETWORK_ID": network,
        "OS_AUTH_URL": f"{url}/v2.0",
        "OS_USERNAME": user["name"],
        "OS_PASSWORD": user["password"],
        "OS_TENANT_NAME": user["tenant"],
        "OS_REGION_NAME": region,
    }


def openrc(env: Mapping[str, str]) -> str:
    """Return shell lines that export the variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())


def clouds_yaml(env: Mapping[str, str], ca_file: str | None) -> str:
    """Return a `clouds.yaml` with one cloud, `vifsim`.

    Source: openstacksdk, "Configuring OpenStack SDK Applications".
    """
    import yaml  # noqa: PLC0415 -- only who asks for this file needs it

    cloud: dict[str, Any] = {
        "auth_type": "v2password",
        "auth": {
            "auth_url": env["OS_AUTH_URL"],
            "username": env["OS_USERNAME"],
            "password": env["OS_PASSWORD"],
            "tenant_name": env["OS_TENANT_NAME"],
        },
        "region_name": env["OS_REGION_NAME"],
        "identity_api_version": "2",
    }
    if ca_file is not None:
        cloud["cacert"] = ca_file
    return yaml.safe_dump({"clouds": {"vifsim": cloud}}, sort_keys=False)


def write(path: str | Path, text: str) -> None:
    """Write a file that a client reads.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        Path(path).write_text(text, "utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write {path}: {exc.strerror}") from exc


def trust_variables(ca_file: str | None) -> dict[str, str]:
    """Return the variables by which Python, requests, curl, Node and OpenStack clients trust it."""
    if ca_file is None:
        return {}
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    return dict.fromkeys((*names, "OS_CACERT"), ca_file)


def aiohttp_client(url: str, token: str, ca_file: str | None) -> aiohttp.ClientSession:
    """Return an aiohttp session for a cloud: relative paths, the token on every request."""
    import aiohttp  # noqa: PLC0415 -- only who asks for one needs it

    connector = aiohttp.TCPConnector(ssl=_context(ca_file) or True)
    headers = {"X-Auth-Token": token}
    return aiohttp.ClientSession(url + "/", headers=headers, connector=connector)


def httpx_client(url: str, token: str, ca_file: str | None) -> httpx.Client:
    """Return an httpx client for a cloud: relative paths, the token on every request.

    Raises:
        UsageError: httpx is not installed.
    """
    try:
        import httpx  # noqa: PLC0415 -- not one of our requirements
    except ImportError as exc:
        raise UsageError("httpx_client needs httpx: pip install httpx") from exc
    verify = _context(ca_file) or True
    return httpx.Client(base_url=url, headers={"X-Auth-Token": token}, verify=verify)


def _context(ca_file: str | None) -> Any:
    import ssl  # noqa: PLC0415 -- only with TLS

    return None if ca_file is None else ssl.create_default_context(cafile=ca_file)
