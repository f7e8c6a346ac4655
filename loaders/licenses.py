"""Look-up of the licenses that users hold."""

from __future__ import annotations

from loaders.read_through import Loader, Reader, read_through
from services.lookups import LICENSES
from services.models import License, UserRef
from services.partner_center.client import PartnerCenterClient


def licenses_by_user(partner_center: PartnerCenterClient, reader: Reader) -> Loader[UserRef, list[License]]:
    """Partner Center has no bulk form of this look-up: n users cost n calls, run side by side."""
    return read_through(reader, LICENSES, partner_center.list_licenses)
