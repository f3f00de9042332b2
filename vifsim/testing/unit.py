"""A cloud for tests that are written with unittest."""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING, Any, ClassVar

from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vifsim.facade import Cloud


class VifsimTestCase(unittest.TestCase):
    """A test case with a fresh cloud for each test.

    Attributes:
        vifsim: the cloud.
        vifsim_settings: arguments of `Simulator`, for a subclass to give.
    """

    vifsim: Cloud
    vifsim_settings: ClassVar[Mapping[str, Any]] = {}

    def setUp(self) -> None:
        """Start the cloud; it ends with the test."""
        super().setUp()
        settings: dict[str, Any] = {**self.vifsim_settings, "self_stepping": True}
        self.vifsim = self.enterContext(Simulator(**settings))
