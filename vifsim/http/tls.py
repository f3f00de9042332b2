"""A certificate of a throw-away authority, for clouds that speak TLS.

The house rule: the authority lives as long as its cloud; nothing is written but its certificate,
which clients must trust.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from vifsim.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

_NAMES = ("localhost", "127.0.0.1", "::1")


class Authority:
    """A certificate authority and one certificate for the loopback names.

    Attributes:
        ca_file: path of the authority's certificate, PEM.
        context: what a server serves with.

    Raises:
        UsageError: trustme is not installed.
    """

    def __init__(self) -> None:
        try:
            import trustme  # noqa: PLC0415 -- an extra
        except ImportError as exc:
            raise UsageError("TLS needs trustme: pip install 'vifsim[tls]'") from exc
        authority = trustme.CA()
        self._folder = tempfile.TemporaryDirectory(prefix="vifsim-")
        self.ca_file = str(Path(self._folder.name, "ca.pem"))
        authority.cert_pem.write_to_path(self.ca_file)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chain = Path(self._folder.name, "server.pem")
        authority.issue_cert(*_NAMES).private_key_and_cert_chain_pem.write_to_path(str(chain))
        self.context.load_cert_chain(chain)

    def __enter__(self) -> Authority:
        """Keep the certificate while the block runs."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove it."""
        self.close()

    def close(self) -> None:
        """Remove the certificate."""
        self._folder.cleanup()
