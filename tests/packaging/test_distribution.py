"""What is built for others holds everything, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from configparser import ConfigParser
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
_BUILD = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"
_PACKAGES = {"vifsim": "vifsim", "vifsim_backends": "backends/vifsim_backends"}
_SHIPPED = {".py", ".yaml", ".html", ".css", ".js", ".json", ".svg", ".typed"}


def tracked() -> list[str]:
    """Return the files of the repository, or of an unpacked source distribution."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return [line for line in listed.stdout.splitlines() if (ROOT / line).exists()]
    unwanted = {".venv", "build", "dist", "__pycache__", "vifsim.egg-info", ".pytest_cache"}
    return [
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*")
        if path.is_file() and not unwanted & set(path.relative_to(ROOT).parts)
    ]


def expected_in_wheel() -> set[str]:
    """Return what the wheel holds beside its metadata, by the folders of the repository."""
    found: set[str] = set()
    for name in tracked():
        path = PurePosixPath(name)
        if path.suffix not in _SHIPPED:
            continue
        if path.parts[0] == "vifsim":
            found.add(name)
        elif path.parts[0] == "backends":
            found.add(str(path.relative_to("backends")))
        elif path.parts[0] == "scenarios":
            found.add(str("vifsim_scenarios" / path.relative_to("scenarios")))
    return found


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, so that a build leaves nothing behind."""
    copy = tmp_path_factory.mktemp("sources")
    for name in tracked():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    return copy


def build(kind: str, sources: Path, into: Path) -> Path:
    """Build a wheel or an sdist and return its file."""
    built = subprocess.run(
        [sys.executable, "-c", _BUILD.format(kind), str(into)],
        cwd=sources,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = into.iterdir()
    return file


@pytest.fixture(scope="module")
def wheel_file(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the repository."""
    return build("wheel", sources, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_every_module_and_every_file_that_they_read(wheel_file: Path) -> None:
    with ZipFile(wheel_file) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert names == expected_in_wheel()


def test_the_wheel_puts_no_other_name_beside_ours(wheel_file: Path) -> None:
    with ZipFile(wheel_file) as wheel:
        tops = {PurePosixPath(name).parts[0] for name in wheel.namelist()}

    ours = {name for name in tops if not name.endswith(".dist-info")}
    assert ours == {"vifsim", "vifsim_backends", "vifsim_scenarios"}


def test_the_sdist_holds_tests_and_docs_too(sources: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", sources, tmp_path)) as sdist:
        names = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in sdist.getnames()}

    wanted = {
        name
        for name in tracked()
        if name.split("/")[0] in {"vifsim", "backends", "scenarios", "tests", "docs"}
    }
    assert wanted <= names
    assert {"LICENSE", "CHANGELOG.md", "README.md", "setup.cfg", "pyproject.toml"} <= names


def test_every_package_is_named_in_the_metadata() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["packages"].split()
    named = {line for line in lines if line.startswith("vifsim")}

    folders = {
        ".".join([package, *Path(module).relative_to(folder).parent.parts])
        for package, folder in _PACKAGES.items()
        for module in tracked()
        if module.startswith(f"{folder}/") and module.endswith("__init__.py")
    }

    assert named == folders | {"vifsim_scenarios"}
