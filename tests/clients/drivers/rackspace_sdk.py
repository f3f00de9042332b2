# The client libraries have no types, and are not installed where the checkers run.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""rackspacesdk with the openstacksdk of its time, both as published.

Their code takes `MutableMapping` from `collections`, where Python had it until 3.9; it is put back.
"""

import collections
import collections.abc
import os

collections.MutableMapping = collections.abc.MutableMapping

from openstack import connection  # noqa: E402 -- after what it needs was put back
from rackspace import profile  # noqa: E402 -- as above
from rackspaceauth import v2  # noqa: E402 -- as above
from sdk_calls import SdkCalls  # noqa: E402 -- as above
from serving import serve  # noqa: E402 -- as above

COMPUTE = {"service_type": "compute", "region_name": os.environ["OS_REGION_NAME"]}


class RackspaceSdk(SdkCalls):
    def log_in(self, how, secret):
        username, auth_url = os.environ["OS_USERNAME"], os.environ["OS_AUTH_URL"]
        if how == "api_key":
            auth = v2.APIKey(username, secret, auth_url=auth_url)
        else:
            auth = v2.Password(username, secret, auth_url=auth_url)
        region = profile.Profile(os.environ["OS_REGION_NAME"])
        self.connection = connection.Connection(authenticator=auth, profile=region)
        self.connection.authorize()

    def servers(self):
        return {server.name: server.id for server in self.connection.compute.servers(limit=2)}

    def call(self, method, path, body=None):
        return self.connection.session.request(path, method, json=body, endpoint_filter=COMPUTE)


if __name__ == "__main__":
    serve(RackspaceSdk())
