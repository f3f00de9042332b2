"""Interfaces as memory keeps them: in little more than half of the room that their values take.

A million interfaces are a million MACs, each a text of 66 bytes that a number of 28 stands for, and
a million tuples of one address.

The house rule: what is unpacked is what was packed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from vifsim.cloud import mac_text
from vifsim.model import InterfaceId, NetworkId, ServerId, VirtualInterface

Joint = tuple[NetworkId, str]
"""A network's id and label; one for all of its interfaces."""
Mac = int | str
"""The number of one of our own MACs, or another MAC as it is."""
Packed = tuple[InterfaceId, int, ServerId, Joint, Mac, str | tuple[str, ...]]
"""An interface's id, number, server, network, MAC and addresses; a text where there is one."""
ID: Final = 0
NUMBER: Final = 1
SERVER: Final = 2
JOINT: Final = 3
"""Where the first four stand in it."""

_OURS = re.compile("BC:76:4E:([0-9A-F]{2}):([0-9A-F]{2}):([0-9A-F]{2})")
_CHUNK_BITS = 8


@lru_cache(maxsize=64)
def packed_mac(mac_address: str) -> Mac:
    """Return the number that `mac_text` makes a MAC of, or the text where there is none.

    What is handed out is looked up and stored right after one another: hence the cache.
    """
    found = _OURS.fullmatch(mac_address)
    return mac_address if found is None else int("".join(found.groups()), 16)


def pack(interface: VirtualInterface, joint: Joint) -> Packed:
    """Return an interface to be kept."""
    addresses = interface.addresses
    return (
        interface.id,
        interface.number,
        interface.server_id,
        joint,
        packed_mac(interface.mac_address),
        addresses[0] if len(addresses) == 1 else addresses,
    )


def unpack(packed: Packed) -> VirtualInterface:
    """Return the interface that was packed."""
    interface_id, number, server_id, (network_id, label), mac, addresses = packed
    return VirtualInterface(
        id=interface_id,
        number=number,
        server_id=server_id,
        network_id=network_id,
        network_label=label,
        mac_address=mac if isinstance(mac, str) else mac_text(mac),
        addresses=(addresses,) if isinstance(addresses, str) else addresses,
    )


class MacSet:
    """MACs in use, packed: a bit for each of ours, which are mostly handed out in order."""

    def __init__(self) -> None:
        self._bits: dict[int, int] = {}
        self._others: set[str] = set()

    def copied(self) -> MacSet:
        """Return another set of the same."""
        other = MacSet()
        other._bits.update(self._bits)
        other._others.update(self._others)
        return other

    def __contains__(self, mac: Mac) -> bool:
        """Return whether a MAC is in use."""
        if isinstance(mac, str):
            return mac in self._others
        return self._bits.get(mac >> _CHUNK_BITS, 0) >> (mac & 255) & 1 == 1

    def add(self, mac: Mac) -> None:
        """Take a MAC into use."""
        if isinstance(mac, str):
            self._others.add(mac)
        else:
            chunk = mac >> _CHUNK_BITS
            self._bits[chunk] = self._bits.get(chunk, 0) | 1 << (mac & 255)

    def discard(self, mac: Mac) -> None:
        """Free a MAC."""
        if isinstance(mac, str):
            self._others.discard(mac)
        else:
            chunk = mac >> _CHUNK_BITS
            self._bits[chunk] = self._bits.get(chunk, 0) & ~(1 << (mac & 255))
