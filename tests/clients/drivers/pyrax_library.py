# The client libraries have no types, and are not installed where the checkers run.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""pyrax 1.10, which has networks of its own but leaves interfaces to its novaclient.

That novaclient cannot load the extension for them, so the calls are made as bare as it allows.
"""

import os

import pyrax
from serving import Driven, serve


class Pyrax(Driven):
    def log_in(self, how, secret):
        pyrax.set_setting("identity_type", "rackspace")
        pyrax.set_setting("auth_endpoint", os.environ["OS_AUTH_URL"] + "/")
        pyrax.set_setting("region", os.environ["OS_REGION_NAME"])
        # It asks for a tenant of the user's own name where it is not told one beside a password.
        pyrax.set_credentials(
            os.environ["OS_USERNAME"], tenant_id=os.environ["OS_TENANT_NAME"], **{how: secret}
        )
        self.cloud_networks = pyrax.connect_to_cloud_networks()
        self.cloud_servers = pyrax.connect_to_cloudservers()

    def servers(self):
        return {server.name: server.id for server in self.cloud_servers.servers.list()}

    def networks(self):
        return {network.label: network.id for network in self.cloud_networks.list()}

    def create_network(self, label, cidr):
        made = self.cloud_networks.create(label, cidr=cidr)
        return {"id": made.id, "label": made.label, "cidr": made.cidr}

    def delete_network(self, network):
        self.cloud_networks.delete(network)

    def attach(self, server, network):
        body = {"virtual_interface": {"network_id": network}}
        _, answer = self.cloud_servers.client.post(self._interfaces(server), body=body)
        (made,) = answer["virtual_interfaces"]
        return made

    def interfaces(self, server):
        _, answer = self.cloud_servers.client.get(self._interfaces(server))
        return answer["virtual_interfaces"]

    def detach(self, server, interface):
        self.cloud_servers.client.delete(f"{self._interfaces(server)}/{interface}")

    def _interfaces(self, server):
        return f"/servers/{server}/os-virtual-interfacesv2"

    def refusal(self, exc):
        return {
            "status": getattr(exc, "code", None),
            "message": str(getattr(exc, "message", None) or exc),
            "retry_after": getattr(exc, "retry_after", None),
        }


if __name__ == "__main__":
    serve(Pyrax())
