# The client libraries, whose values go through here, have no types.
# mypy: ignore-errors
# pyright: basic
"""What both generations of the SDK do through a session of keystoneauth: networks, interfaces."""

from serving import Driven


class SdkCalls(Driven):
    def call(self, method, path, body=None):
        """Send one request to the compute service, and raise as the SDK does."""
        raise NotImplementedError

    def networks(self):
        found = self.call("GET", "/os-networksv2").json()["networks"]
        return {network["label"]: network["id"] for network in found}

    def create_network(self, label, cidr):
        body = {"network": {"label": label, "cidr": cidr}}
        return self.call("POST", "/os-networksv2", body).json()["network"]

    def delete_network(self, network):
        self.call("DELETE", f"/os-networksv2/{network}")

    def attach(self, server, network):
        body = {"virtual_interface": {"network_id": network}}
        path = f"/servers/{server}/os-virtual-interfacesv2"
        (made,) = self.call("POST", path, body).json()["virtual_interfaces"]
        return made

    def interfaces(self, server):
        path = f"/servers/{server}/os-virtual-interfacesv2"
        return self.call("GET", path).json()["virtual_interfaces"]

    def detach(self, server, interface):
        self.call("DELETE", f"/servers/{server}/os-virtual-interfacesv2/{interface}")

    def refusal(self, exc):
        response = getattr(exc, "response", None)
        return {
            "status": getattr(exc, "status_code", None) or getattr(exc, "http_status", None),
            "message": str(getattr(exc, "details", None) or exc),
            "retry_after": None if response is None else response.headers.get("Retry-After"),
        }
