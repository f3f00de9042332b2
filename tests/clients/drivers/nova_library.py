# The client libraries have no types, and are not installed where the checkers run.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""python-novaclient 5.1 with the extensions `os-virtual-interfacesv2` and `os-networksv2`."""

import os

from novaclient import auth_plugin, client
from serving import Driven, serve

REST_OF_AUTH = {
    "auth_url": os.environ["OS_AUTH_URL"],
    "region_name": os.environ["OS_REGION_NAME"],
}


class Novaclient(Driven):
    def log_in(self, how, secret):
        extra = {}
        if how == "api_key":
            auth_plugin.discover_auth_systems()
            extra = {
                "auth_system": "rackspace",
                "auth_plugin": auth_plugin.load_plugin("rackspace"),
            }
        self.nova = client.Client(
            "2",
            os.environ["OS_USERNAME"],
            secret,
            os.environ["OS_TENANT_NAME"],
            extensions=client.discover_extensions("2"),
            **REST_OF_AUTH,
            **extra,
        )
        self.nova.authenticate()
        self.networks_v2 = self.nova.os_networksv2_python_novaclient_ext
        self.interfaces_v2 = self.nova.os_virtual_interfacesv2_python_novaclient_ext

    def servers(self):
        return {server.name: server.id for server in self.nova.servers.list()}

    def networks(self):
        return {network.label: network.id for network in self.networks_v2.list()}

    def create_network(self, label, cidr):
        return self.networks_v2.create(label, cidr).to_dict()

    def delete_network(self, network):
        self.networks_v2.delete(network)

    def attach(self, server, network):
        (made,) = self.interfaces_v2.create(network, server)
        return made

    def interfaces(self, server):
        return [found.to_dict() for found in self.interfaces_v2.list(server)]

    def detach(self, server, interface):
        self.interfaces_v2.delete(server, interface)

    def refusal(self, exc):
        return {
            "status": getattr(exc, "code", None),
            "message": str(getattr(exc, "message", exc)),
            "retry_after": getattr(exc, "retry_after", None),
        }


if __name__ == "__main__":
    serve(Novaclient())
