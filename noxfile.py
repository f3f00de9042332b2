"""The fixtures under each Python and each release of pytest's plugins that users have.

`nox` runs the small suite of tests/matrix with every interpreter that this machine has and passes
over those that it has not; `nox -l` lists the sessions. Our own suite runs on pytest 9 only.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import urlopen

import nox

nox.options.error_on_missing_interpreters = False
nox.options.default_venv_backend = "venv"

PYTHONS = ("3.11", "3.12", "3.13")
RELEASES = {
    "pytest8": ("pytest == 8.*", "pytest-asyncio == 0.26.*", "pytest-aiohttp == 1.0.*"),
    "pytest9": ("pytest == 9.*", "pytest-asyncio == 1.*", "pytest-aiohttp == 1.1.*"),
}
INI = ("-q", "-c", "tests/matrix/pytest.ini")
SUITES = ("tests/matrix/suite_fixture.py", "tests/matrix/suite_unittest.py")


@nox.session(python=PYTHONS)
@nox.parametrize("release", [nox.param(name, id=name) for name in RELEASES])
def fixtures(session: nox.Session, release: str) -> None:
    """Run the small suite in both modes of pytest-asyncio, at once and under pytest-xdist."""
    session.install(".", "pytest-xdist >= 3.6", *RELEASES[release])
    for mode in ("strict", "auto"):
        for suite in SUITES:
            session.run("pytest", *INI, f"--asyncio-mode={mode}", suite, *session.posargs)
    session.run("pytest", *INI, "-n", "2", SUITES[0])


NEEDED = ".[metrics,tls,openapi,postgres]"


def needed(session: nox.Session) -> list[str]:
    """Return `name==version` of whatever vifsim needs and can use, installed into the session."""
    session.install(NEEDED)
    frozen = session.run("pip", "freeze", "--exclude", "vifsim", silent=True)
    return [line for line in str(frozen).splitlines() if "==" in line]


@nox.session
def audit(session: nox.Session) -> None:
    """Hold what vifsim needs, and can use, against known vulnerabilities; needs the network."""
    listed = Path(session.create_tmp(), "needed.txt")
    listed.write_text("\n".join(needed(session)))
    session.install("pip-audit")
    session.run(
        *("pip-audit", "--strict", "--disable-pip", "--no-deps", "-r", str(listed)),
        *session.posargs,
    )


@nox.session
def audit_latest(session: nox.Session) -> None:
    """Do the same for the latest releases, by an index's word on each project alone.

    For networks whose mirror has no document of each release, where `audit` finds nothing out. The
    index is given by the URL under which its projects' JSON documents are.
    """
    if len(session.posargs) != 1:
        session.error("give the URL of an index's JSON API: nox -s audit_latest -- URL")
    index = session.posargs[0].rstrip("/")
    problems: list[str] = []
    for one in needed(session):
        name, _, version = one.partition("==")
        with urlopen(f"{index}/{name}/json") as answer:  # noqa: S310 -- named by who runs this
            told = json.load(answer)
        if version != told["info"]["version"]:
            problems.append(f"{one} is not the latest: nothing is known of it")
        found = [known["id"] for known in told["vulnerabilities"] if not known["withdrawn"]]
        problems += [f"{one}: {known}" for known in found]
        session.log(f"{one}: {', '.join(found) or 'nothing known'}")
    if problems:
        session.error("\n".join(problems))
