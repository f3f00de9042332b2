# The client libraries have no types, and are not installed where the checkers run.
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""openstacksdk of today, with keystoneauth's v2 password plugin."""

import os

import openstack
from openstack import exceptions
from sdk_calls import SdkCalls
from serving import serve


class OpenstackSdk(SdkCalls):
    def log_in(self, _how, secret):
        self.connection = openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth_type="v2password",
            auth={
                "auth_url": os.environ["OS_AUTH_URL"],
                "username": os.environ["OS_USERNAME"],
                "password": secret,
                "tenant_name": os.environ["OS_TENANT_NAME"],
            },
            region_name=os.environ["OS_REGION_NAME"],
            compute_api_version="2",
            identity_api_version="2",
        )
        self.connection.authorize()

    def servers(self):
        return {server.name: server.id for server in self.connection.compute.servers(limit=2)}

    def call(self, method, path, body=None):
        response = self.connection.compute.request(path, method, json=body)
        exceptions.raise_from_response(response)
        return response


if __name__ == "__main__":
    serve(OpenstackSdk())
