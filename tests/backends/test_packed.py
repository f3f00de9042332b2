from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vifsim.cloud import MAC_SPACE, mac_text
from vifsim.model import InterfaceId, NetworkId, ServerId, VirtualInterface
from vifsim_backends.packed import MacSet, pack, packed_mac, unpack

MACS = st.one_of(
    st.integers(0, MAC_SPACE - 1).map(mac_text),
    st.sampled_from(["", "bc:76:4e:00:00:01", "BC:76:4E:0_:00:01", "FA:16:3E:00:00:01", "7"]),
)


@given(MACS, st.lists(st.text(), max_size=3), st.integers(1, 1 << 60))
def test_an_interface_is_unpacked_as_it_was(mac: str, addresses: list[str], number: int) -> None:
    interface = VirtualInterface(
        id=InterfaceId("a"),
        number=number,
        server_id=ServerId("s"),
        network_id=NetworkId("n"),
        network_label="label",
        mac_address=mac,
        addresses=tuple(addresses),
    )

    assert unpack(pack(interface, (NetworkId("n"), "label"))) == interface


@given(st.lists(st.tuples(st.booleans(), MACS)))
def test_macs_in_use_are_those_that_were_taken_and_not_freed(steps: list[tuple[bool, str]]) -> None:
    macs, expected = MacSet(), set[str]()
    for taken, mac in steps:
        (macs.add if taken else macs.discard)(packed_mac(mac))
        (expected.add if taken else expected.discard)(mac)

        assert (packed_mac(mac) in macs) is taken

    assert all(packed_mac(mac) in macs for mac in expected)
