"""Enumerations of the surface. Those that the models use are shown with words for callers."""

from __future__ import annotations

from enum import Enum

import strawberry

from schema.binding import describe
from services.authorization import Permission as Permission
from services.authorization import ViewerKind as ViewerKind
from services.license_options import LicenseBlockerCode as LicenseBlockerCode
from services.models import CommerceKind as CommerceKind
from services.models import ProductType as ProductType
from services.models import SubscriptionStatus as SubscriptionStatus
from services.models import UserStatus as UserStatus
from services.user_actions import ActionBlockReason as ActionBlockReason
from services.user_actions import UserActionName as UserActionName

describe(
    UserStatus,
    "Whether a user is in use or deleted",
    ACTIVE="In the directory",
    DELETED="Deleted less than 30 days ago, and restorable",
)
describe(
    ProductType,
    "Kind of product that a subscribed SKU is; derived, since Microsoft does not give it",
    CLOUD_SERVICES="Microsoft Cloud Services, bought the old way or in new commerce; "
    "products not known to the gateway count here",
    DYNAMICS="Microsoft Dynamics, bought either way",
    OTHER="Not licenses for people: SKUs that a tenant holds as a whole",
)
describe(
    CommerceKind,
    "How a subscription was bought",
    LEGACY="An offer of the old catalogue",
    NEW_COMMERCE="A product of the new commerce experience",
)
describe(
    SubscriptionStatus,
    "State of a Microsoft subscription",
    ACTIVE="In use",
    SUSPENDED="Switched off, by the partner or for lack of payment",
    DELETED="Gone; Microsoft still lists it",
    EXPIRED="Its term is over",
    PENDING="Ordered, not yet there",
    DISABLED="Switched off by Microsoft",
    UNKNOWN="A state that the gateway does not know",
)
describe(
    ViewerKind,
    "Whose tenants a viewer manages",
    RESELLER="Manages every customer of an indirect reseller",
    DIRECT_CUSTOMER="Manages one organization: its own tenant",
    PARTNER="Manages every customer of the partner",
)
describe(
    Permission,
    "What a viewer may do",
    READ="Every query",
    WRITE_USERS="Create people and edit their information",
    WRITE_LICENSES="Assign and remove licenses",
    WRITE_ROLES="Give and take directory roles",
    RESET_PASSWORDS="Reset passwords",
    DELETE_USERS="Delete and restore users",
    MANAGE_ADMINS="Besides: any change to a user with a privileged role, or giving one",
    READ_AUDIT="Read the audit log",
)

describe(
    UserActionName,
    "What can be done with a user",
    EDIT="Edit information and roles",
    MANAGE_LICENSES="Assign and remove licenses",
    RESET_PASSWORD="Set another password",
    DELETE="Delete the user",
    RESTORE="Bring a deleted user back",
)
describe(
    ActionBlockReason,
    "Why something cannot be done with a user",
    USER_DELETED="The user is deleted and can only be restored",
    USER_ACTIVE="The user is not deleted",
    PRIVILEGED_TARGET="The user holds a privileged role, or that could not be read, and the viewer lacks MANAGE_ADMINS",
    DIRECTORY_SYNCED="The user is mastered in the customer's own directory",
    NOT_PERMITTED="The viewer lacks the permission",
    TENANT_ACCESS_MISSING="The partner may not act in this tenant",
    RESTORE_WINDOW_OVER="Deleted 30 days ago or longer",
)
describe(
    LicenseBlockerCode,
    "Why a license toggle cannot be moved",
    NONE_AVAILABLE="No unit is left",
    USAGE_LOCATION_MISSING="The user has no usage location",
    NOT_USER_ASSIGNABLE="The tenant holds the product as a whole",
    SUSPENDED="The product's units are suspended",
    USER_DELETED="The user is deleted",
    NOT_PERMITTED="The viewer lacks WRITE_LICENSES, or for a user with a privileged role MANAGE_ADMINS",
)


@strawberry.enum(description="Direction of an order")
class OrderDirection(Enum):
    ASC = strawberry.enum_value("ASC", description="From A to Z, from old to new")
    DESC = strawberry.enum_value("DESC", description="From Z to A, from new to old")


@strawberry.enum(description="What tenants can be ordered by")
class TenantOrderField(Enum):
    NAME = strawberry.enum_value("NAME", description="Company name, whatever its case and accents")
    DOMAIN = strawberry.enum_value("DOMAIN", description="Default domain")


@strawberry.enum(description="What users can be ordered by")
class UserOrderField(Enum):
    DISPLAY_NAME = strawberry.enum_value("DISPLAY_NAME", description="Display name, whatever its case and accents")
    USER_PRINCIPAL_NAME = strawberry.enum_value("USER_PRINCIPAL_NAME", description="Sign-in name")
    DELETED_AT = strawberry.enum_value(
        "DELETED_AT", description="Time of deletion; users that are not deleted come last"
    )


@strawberry.enum(description="How far the gateway can act in a tenant")
class TenantAccessStatus(Enum):
    FULL = strawberry.enum_value("FULL", description="Everything can be read and changed")
    READ_ONLY = strawberry.enum_value("READ_ONLY", description="Everything can be read; changes are refused")
    NONE = strawberry.enum_value("NONE", description="Not even the people can be read")


@strawberry.enum(description="Why a tenant is missing in an answer")
class TenantFailureCode(Enum):
    ACCESS_MISSING = strawberry.enum_value("ACCESS_MISSING", description="The partner may not read this tenant")
    THROTTLED = strawberry.enum_value("THROTTLED", description="Microsoft asks to wait")
    TIMEOUT = strawberry.enum_value("TIMEOUT", description="Microsoft did not answer in time")
    UPSTREAM_ERROR = strawberry.enum_value("UPSTREAM_ERROR", description="Microsoft did not give a usable answer")


@strawberry.enum(description="What becomes of a change of many when some of its users cannot be changed")
class BulkErrorPolicy(Enum):
    STOP_BEFORE_ANY_CHANGE = strawberry.enum_value(
        "STOP_BEFORE_ANY_CHANGE",
        description="If any user is known to fail, nothing is written at all: userErrors, and no job",
    )
    SKIP_FAILED_USERS = strawberry.enum_value("SKIP_FAILED_USERS", description="Each user stands alone")
