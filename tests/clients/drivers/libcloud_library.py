# The client libraries have no types, and are not installed where the checkers run.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""Apache Libcloud's Rackspace driver, whose connection also serves calls it has no method for."""

import os

from libcloud.compute.providers import get_driver
from libcloud.compute.types import Provider
from serving import Driven, serve


class Libcloud(Driven):
    def log_in(self, how, secret):
        self.driver = get_driver(Provider.RACKSPACE)(
            os.environ["OS_USERNAME"],
            secret,
            region=os.environ["OS_REGION_NAME"].lower(),
            ex_force_auth_url=os.environ["VIFSIM_URL"],
            ex_force_auth_version={"api_key": "2.0_apikey", "password": "2.0_password"}[how],
        )
        self.driver.connection.get_service_catalog()

    def servers(self):
        return {node.name: node.id for node in self.driver.list_nodes()}

    def networks(self):
        return {network.name: network.id for network in self.driver.ex_list_networks()}

    def create_network(self, label, cidr):
        made = self.driver.ex_create_network(label, cidr)
        return {"id": made.id, "label": made.name, "cidr": made.cidr}

    def delete_network(self, network):
        (found,) = [one for one in self.driver.ex_list_networks() if one.id == network]
        if not self.driver.ex_delete_network(found):
            raise RuntimeError("libcloud says that the network was not deleted")

    def attach(self, server, network):
        (made,) = self._interfaces(
            server, method="POST", data={"virtual_interface": {"network_id": network}}
        )
        return made

    def interfaces(self, server):
        return self._interfaces(server)

    def _interfaces(self, server, **how):
        path = f"/servers/{server}/os-virtual-interfacesv2"
        return self.driver.connection.request(path, **how).object["virtual_interfaces"]

    def detach(self, server, interface):
        path = f"/servers/{server}/os-virtual-interfacesv2/{interface}"
        self.driver.connection.request(path, method="DELETE")

    def refusal(self, exc):
        headers = getattr(exc, "headers", None) or {}
        return {
            "status": getattr(exc, "code", None),
            "message": str(exc),
            "retry_after": headers.get("retry-after"),
        }


if __name__ == "__main__":
    serve(Libcloud())
