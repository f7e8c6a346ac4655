"""Which kind of product a SKU is: Partner Center does not say, so it is derived from facts kept here.

"Microsoft Cloud Services" and "Microsoft Dynamics" arrive alike, whether bought the old way or in new commerce. The
table was compared with all 620 products of learn.microsoft.com/entra/identity/users/licensing-service-plan-reference.
"""

from __future__ import annotations

from services.models import ProductType

_DYNAMICS_PART_NUMBERS = ("DYN365_", "D365_", "DYNAMICS_365_", "SKU_DYNAMICS_365_", "CRM", "AX_", "AX7_")
"""Beginnings of part numbers, compared without regard to case."""

_DYNAMICS_NAMES = ("dynamics 365", "microsoft dynamics")

_DYNAMICS_SKU_IDS = frozenset(
    {
        "0a389a77-9850-4dc4-b600-bc66fdfefc60",  # GUIDES_USER
        "446a86f8-a0cb-4095-83b3-d100eb050e3d",  # Forms_Pro_AddOn: Customer Voice
        "4f05b1a3-a978-462c-b93f-781c6bee998f",  # DYN365_ ENTERPRISE _RELATIONSHIP_SALES
        "6a4a1628-9b9a-424d-bed5-4118f0ede3fd",  # PROJECT_MADEIRA_PREVIEW_IW_SKU: Business Central
        "7a551360-26c4-4f61-84e6-ef715673e083",  # MICROSOFT_REMOTE_ASSIST
        "bc946dac-7877-4271-b2f7-99d2db13cd2c",  # FORMS_PRO: Customer Voice
        "c6df1e30-1c9f-427f-907c-3d913474a1c7",  # SOCIAL_ENGAGEMENT_APP_USER
        "e2ae107b-a571-426f-9367-6d4c8f1390ba",  # Forms_Pro_USL: Customer Voice
        "e48328a2-8e98-4484-a70f-a99f8ac9ec89",  # MICROSOFT_REMOTE_ASSIST_HOLOLENS
    }
)
"""Dynamics products whose part number does not say so; their names have changed before and may again."""


def product_type(sku_id: str, part_number: str | None, name: str, target_type: str | None) -> ProductType:
    """OTHER for what a tenant holds as a whole, Dynamics included; an unknown product counts as CLOUD_SERVICES."""
    if target_type is not None and target_type.lower() == "tenant":
        return ProductType.OTHER
    if _is_dynamics(sku_id, part_number, name):
        return ProductType.DYNAMICS
    return ProductType.CLOUD_SERVICES


def _is_dynamics(sku_id: str, part_number: str | None, name: str) -> bool:
    return (
        sku_id.lower() in _DYNAMICS_SKU_IDS
        or (part_number or "").upper().startswith(_DYNAMICS_PART_NUMBERS)
        or any(words in name.lower() for words in _DYNAMICS_NAMES)
    )
