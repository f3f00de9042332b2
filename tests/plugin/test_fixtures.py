"""The fixtures, as the suites of others use them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import RunSuite

ATTACH = """
    import httpx
    import pytest

    def attach(cloud, network=None):
        wanted = {"virtual_interface": {"network_id": network or cloud.network_id}}
        path = f"/servers/{cloud.server_id}/os-virtual-interfacesv2"
        headers = {"X-Auth-Token": cloud.token}
        return httpx.post(cloud.url + path, json=wanted, headers=headers).status_code
"""


def test_a_sync_test_has_a_cloud_of_its_own(run_suite: RunSuite) -> None:
    run = run_suite(
        ATTACH
        + """
    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_one(vifsim, n):
        assert attach(vifsim) == 200
        assert len(vifsim.state.interfaces(server="web-1")) == 3
        assert vifsim.journal.calls("create_*").exactly(1)
    """
    )

    assert (run.number("passed"), run.exit_code) == (3, 0), run.output


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_an_async_test_uses_the_same_fixture(run_suite: RunSuite, mode: str) -> None:
    run = run_suite(
        """
    import aiohttp
    import pytest

    @pytest.mark.asyncio
    async def test_one(vifsim):
        async with vifsim.aiohttp_client() as http:
            answer = await http.get("os-networksv2")
            assert answer.status == 200
        vifsim.journal.calls("list_networks").told([200])

    @pytest.mark.asyncio
    async def test_time_jumps(vifsim_autojump):
        vifsim_autojump.rule(match="list_networks", latency="1h")
        async with vifsim_autojump.aiohttp_client() as http:
            answer = await http.get("os-networksv2", timeout=aiohttp.ClientTimeout(total=7200))
            assert answer.status == 200
        assert vifsim_autojump.clock.now() >= 3600
    """,
        "-o",
        f"asyncio_mode={mode}",
    )

    assert (run.number("passed"), run.exit_code) == (2, 0), run.output


def test_the_application_serves_under_pytest_aiohttp(run_suite: RunSuite) -> None:
    run = run_suite(
        """
    import vifsim as package

    async def test_one(aiohttp_client):
        app = package.create_app(scenario="flaky-create")
        client = await aiohttp_client(app)
        headers = {"X-Auth-Token": "demo-token"}
        answer = await client.get("/os-networksv2", headers=headers)
        assert answer.status == 200
        assert len(app[package.SIMULATOR].journal) == 1
    """,
        "-o",
        "asyncio_mode=auto",
    )

    assert (run.number("passed"), run.exit_code) == (1, 0), run.output


def test_every_key_of_the_marker_counts(run_suite: RunSuite) -> None:
    run = run_suite(
        ATTACH
        + """
    @pytest.mark.vifsim(scenario="flaky-create", seed=7, backend="memory:", clock="manual")
    def test_one(vifsim):
        assert [attach(vifsim) for _ in range(3)] == [503, 503, 200]
        assert vifsim.simulator.seed == 7
        assert vifsim.simulator.clock.mode == "manual"

    @pytest.mark.vifsim(clock="scaled", speed=60)
    def test_two(vifsim):
        assert vifsim.simulator.clock.speed == 60

    @pytest.mark.vifsim(sped=60)
    def test_three(vifsim):
        pass
    """
    )

    assert (run.number("passed"), run.number("error")) == (2, 1), run.output
    assert "the marker vifsim takes scenario, seed, backend, clock, speed" in run.output


def test_a_suite_says_once_how_its_clouds_are(run_suite: RunSuite) -> None:
    run = run_suite(
        ATTACH
        + """
    @pytest.fixture
    def vifsim_scenario():
        return "flaky-create"

    @pytest.fixture
    def vifsim_settings():
        return {"seed": 5}

    def test_one(vifsim):
        assert attach(vifsim) == 503
        assert vifsim.simulator.seed == 5
    """
    )

    assert (run.number("passed"), run.exit_code) == (1, 0), run.output


def test_ini_file_and_command_line_say_what_nobody_else_says(run_suite: RunSuite) -> None:
    source = (
        ATTACH
        + """
    def test_one(vifsim):
        assert (attach(vifsim), vifsim.simulator.seed) == (503, 9)
    """
    )
    ini = "[pytest]\nvifsim_seed = 8\nvifsim_scenario = flaky-create\n"

    run = run_suite(source, "--vifsim-seed", "9", ini=ini)

    assert (run.number("passed"), run.exit_code) == (1, 0), run.output


def test_several_clouds_in_one_test_know_nothing_of_one_another(run_suite: RunSuite) -> None:
    run = run_suite(
        ATTACH
        + """
    def test_one(make_vifsim):
        one, two = make_vifsim(seed=1), make_vifsim(scenario="flaky-create")
        assert (attach(one), attach(two)) == (200, 503)
        assert len(one.state.interfaces(server="web-1")) == 3
        assert len(two.state.interfaces(server="web-1")) == 2
    """
    )

    assert (run.number("passed"), run.exit_code) == (1, 0), run.output


def test_a_shared_server_is_begun_anew_for_each_test(run_suite: RunSuite) -> None:
    run = run_suite(
        ATTACH
        + """
    @pytest.mark.parametrize("n", range(5))
    def test_one(vifsim_session, n):
        assert attach(vifsim_session) == 200
        vifsim_session.rule(match="list_networks", status=503)
        assert vifsim_session.journal[0].seq == 1

    @pytest.mark.vifsim(scenario="flaky-create")
    def test_two(vifsim_session):
        assert attach(vifsim_session) == 503
    """,
        ini=INI_WITHOUT_CHECKS,
        conftest__py=WITHOUT_CHECKS,
    )

    assert (run.number("passed"), run.exit_code) == (6, 0), run.output


INI_WITHOUT_CHECKS = "[pytest]\n"
WITHOUT_CHECKS = """
    import pytest

    @pytest.fixture
    def vifsim_settings():
        return {"checks": []}
"""


def test_workers_in_random_order_do_not_meet(run_suite: RunSuite) -> None:
    run = run_suite(
        ATTACH
        + """
    @pytest.mark.parametrize("n", range(12))
    def test_one(vifsim, n):
        assert attach(vifsim) == 200
        assert attach(vifsim) == 409
        assert n != 7
    """,
        "-n",
        "2",
    )

    assert (run.number("passed"), run.number("failed")) == (11, 1), run.output


def test_unittest_has_clouds_too(run_suite: RunSuite) -> None:
    run = run_suite(
        """
    import unittest
    import urllib.request
    from vifsim import Simulator
    from vifsim.testing import VifsimTestCase

    class Plain(unittest.TestCase):
        def setUp(self):
            self.vifsim = self.enterContext(Simulator(scenario="flaky-create"))

        def test_one(self):
            self.assertEqual(urllib.request.urlopen(self.vifsim.url).status, 200)

    class Ready(VifsimTestCase):
        def test_one(self):
            self.assertEqual(urllib.request.urlopen(self.vifsim.url).status, 200)

    class Async(unittest.IsolatedAsyncioTestCase):
        async def asyncSetUp(self):
            self.vifsim = await self.enterAsyncContext(Simulator())

        async def test_one(self):
            async with self.vifsim.aiohttp_client() as http:
                self.assertEqual((await http.get("os-networksv2")).status, 200)
    """
    )

    assert (run.number("passed"), run.exit_code) == (3, 0), run.output


def test_clients_find_the_cloud_by_variables_and_files(run_suite: RunSuite) -> None:
    run = run_suite(
        """
    import subprocess, sys, yaml

    def test_one(vifsim, monkeypatch, tmp_path):
        vifsim.write_openrc(tmp_path / "openrc")
        vifsim.write_clouds_yaml(tmp_path / "clouds.yaml")
        shown = subprocess.run(
            ["sh", "-c", ". ./openrc && printf %s $OS_AUTH_URL"],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout
        cloud = yaml.safe_load((tmp_path / "clouds.yaml").read_text())["clouds"]["vifsim"]
        assert shown == vifsim.auth_url == cloud["auth"]["auth_url"] == vifsim.env()["OS_AUTH_URL"]
        with vifsim.httpx_client() as client:
            assert client.get("/os-networksv2").status_code == 200
    """
    )

    assert (run.number("passed"), run.exit_code) == (1, 0), run.output


def test_a_cloud_with_tls_is_trusted_by_its_own_authority(run_suite: RunSuite) -> None:
    run = run_suite(
        """
    import ssl
    import pytest
    import requests

    @pytest.fixture
    def vifsim_tls():
        return True

    def test_one(vifsim):
        assert vifsim.url.startswith("https://")
        assert requests.get(vifsim.url, verify=vifsim.ca_file).status_code == 200
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(vifsim.url)
        assert vifsim.env()["REQUESTS_CA_BUNDLE"] == vifsim.ca_file
        with vifsim.httpx_client() as client:
            assert client.get("/os-networksv2").status_code == 200
    """
    )

    assert (run.number("passed"), run.exit_code) == (1, 0), run.output


def test_the_plugin_imports_nothing_heavy_until_it_is_asked() -> None:
    program = (
        "import sys, json\n"
        "import vifsim.pytest_plugin\n"
        "heavy = ('aiohttp', 'marshmallow', 'yaml', 'rich', 'hypothesis', 'sqlite3')\n"
        "print(json.dumps([name for name in heavy if name in sys.modules]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout) == []
