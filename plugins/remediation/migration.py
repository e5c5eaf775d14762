"""The RWO to RWX migration of dnsmasq's volumes."""

from __future__ import annotations

from seatrial.plugins.remediation.risk import Right

RIGHTS: tuple[Right, ...] = ()
