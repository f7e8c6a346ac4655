"""What each example answers: by its name, what stands at a path of its answer."""

import json
from pathlib import Path

EXAMPLE_FOLDER = Path(__file__).parent.parent / "examples"
E3, POWER_BI = "Office 365 E3", "Power BI Pro"
SALES, EMS = "Dynamics 365 for Sales Enterprise Edition", "Enterprise Mobility + Security E3"

JOB = json.loads((EXAMPLE_FOLDER / "27-cancel-a-job.variables.json").read_text(encoding="utf-8"))["input"]["id"]
"""The job that an example begins, and others speak of."""
BEGINS_IT, FOLLOWS_IT = "24-bulk-change", "26-follow-a-job"

FACTS: dict[str, dict[str, object]] = {
    "01-contoso": {
        "tenant.users.totalCount": 32,
        "tenant.users.nodes.0.displayName": "Adele Vance",
        "tenant.users.nodes.0.licenses.*.sku.productName": [E3, POWER_BI],
        "tenant.users.nodes.0.licenses.*.sku.availableUnits": [5, 0],
        "tenant.users.nodes.0.licenses.0.sku.subscriptions.*.commerce": ["NEW_COMMERCE", "LEGACY"],
        "tenant.users.nodes.0.licenses.0.sku.subscriptions.*.quantity": [10, 15],
        "tenant.users.nodes.7.status": "DELETED",
    },
    "02-users-page": {
        "tenant.access": {"status": "FULL", "missingRoles": []},
        "tenant.users.totalCount": 32,
        "tenant.users.pageInfo.hasNextPage": True,
        "tenant.users.edges.*.node.displayName": [
            "Adele Vance",
            "Alex Wilber",
            "Allan Deyoung",
            "Brian Johnson",
            "Christie Cline",
            "Debra Berger",
            "Diego Siciliani",
            "Enrico Cattaneo",
            "Grady Archie",
            "Henrietta Mueller",
        ],
        "tenant.users.edges.*.node.assignedLicenseCount": [2, 2, 0, 0, 0, 0, 2, 0, 1, 2],
        "tenant.users.edges.5.node.usageLocation": None,
        "tenant.users.edges.7.node.deletion.daysLeft": 28,
        "tenant.users.edges.7.node.actions.*.allowed": [False, False, False, False, True],
        "tenant.users.edges.8.node.roles": [{"name": "Helpdesk Administrator", "privileged": True}],
        "tenant.users.coverage.asked": 1,
        "tenant.users.coverage.failed": [],
    },
    "03-manage-licenses": {
        "tenant.user.displayName": "Nestor Wilke",
        "tenant.user.licenseOptions.*.sku.productName": [SALES, EMS, E3, POWER_BI, "Visio Plan 2"],
        "tenant.user.licenseOptions.*.assigned": [False, True, True, False, False],
        "tenant.user.licenseOptions.*.changeable": [True, True, True, False, True],
        "tenant.user.licenseOptions.3.blockers.*.code": ["NONE_AVAILABLE"],
    },
    "04-new-user-form": {
        "tenant.domains": ["contoso.onmicrosoft.com", "contoso.com"],
        "tenant.country": "US",
        "tenant.roles.1": {
            "id": (
                "RGlyZWN0b3J5Um9sZTpiMTQ0MDBkMC1mNTZhLTU5NjEtYmM4NC00NTk2YzMwNjc4NWQ6"
                "NjJlOTAzOTQtNjlmNS00MjM3LTkxOTAtMDEyMTc3MTQ1ZTEw"
            ),
            "microsoftId": "62e90394-69f5-4237-9190-012177145e10",
            "name": "Company Administrator",
            "privileged": True,
        },
        "tenant.subscribedSkus.*.productName": [SALES, EMS, E3, "Visio Plan 2"],
        "tenant.subscribedSkus.*.availableUnits": [2, 4, 5, 2],
    },
    "05-licenses-list": {
        "tenant.subscribedSkus.*.productName": [SALES, EMS, E3, POWER_BI, "Visio Plan 2"],
        "tenant.subscribedSkus.*.productType": ["DYNAMICS", *["CLOUD_SERVICES"] * 4],
        "tenant.subscribedSkus.*.activeUnits": [6, 8, 25, 5, 4],
        "tenant.subscribedSkus.*.consumedUnits": [4, 6, 20, 5, 2],
        "tenant.subscribedSkus.*.availableUnits": [2, 4, 5, 0, 2],
        "tenant.subscribedSkus.*.suspendedUnits": [0, 3, 0, 0, 0],
        "tenant.subscribedSkus.*.warningUnits": [0, 2, 0, 0, 0],
        "tenant.heldAsAWhole": [{"productName": "Common Data Service Database Capacity", "activeUnits": 3}],
        "litware.overAssigned": [
            {
                "productName": "Microsoft 365 Business Basic",
                "activeUnits": 4,
                "consumedUnits": 6,
                "availableUnits": -2,
            }
        ],
    },
    "06-tenants": {
        "tenants.totalCount": 13,
        "tenants.nodes.0.name": "Adatum Corporation",
        "tenants.nodes.0.access.status": "NONE",
        "tenants.nodes.3.name": "Contoso",
        "found.totalCount": 2,
        "found.edges.*.node.name": ["Wingtip Toys", "Tailspin Toys"],
        "found.edges.*.node.country": ["NL", "US"],
        "found.pageInfo.hasNextPage": False,
    },
    "07-subscription-tooltip": {
        "tenant.subscribedSkus.*.productName": [EMS, E3, POWER_BI, "Visio Plan 2"],
        "tenant.subscribedSkus.1.subscriptions.*.offerName": [E3, "Office 365 Enterprise E3"],
        "tenant.subscribedSkus.1.subscriptions.*.quantity": [10, 15],
        "tenant.subscribedSkus.1.subscriptions.1.cancellableUntil": None,
        "tenant.subscribedSkus.3.subscriptions": [],
    },
    "08-users-search": {
        "tenant.named.nodes.*.displayName": ["Zoë Ångström"],
        "tenant.holders.totalCount": 2,
        "tenant.holders.nodes.*.displayName": ["Johanna Lorenz", "Lee Gu"],
        "tenant.administrators.nodes.*.displayName": ["Megan Bowen", "Grady Archie"],
        "tenant.withoutLicense.nodes.*.displayName": ["Raúl Razo", "Ελένη Παπαδοπούλου"],
        "tenant.lastChance.nodes": [{"displayName": "Irvin Sayers", "deletion": {"daysLeft": 0}}],
    },
    "09-one-user": {
        "tenant.user.firstName": "Diego",
        "tenant.user.lastName": "Siciliani",
        "tenant.user.licenses.*.sku.productName": [EMS, E3],
        "tenant.user.licenses.*.disabledServicePlans.*.name": [["MFA_PREMIUM"], ["TEAMS1", "YAMMER_ENTERPRISE"]],
        "tenant.again.displayName": "Diego Siciliani",
    },
    "10-deleted-users": {
        "tenant.users.totalCount": 2,
        "tenant.users.nodes.*.displayName": ["Enrico Cattaneo", "Irvin Sayers"],
        "tenant.users.nodes.*.deletion.daysLeft": [28, 0],
        "tenant.users.nodes.0.actions.4": {"name": "RESTORE", "allowed": True, "reason": None},
        "tenant.users.nodes.0.actions.0": {"name": "EDIT", "allowed": False, "reason": "USER_DELETED"},
    },
    "11-who-holds": {
        "node.productName": POWER_BI,
        "node.tenant.name": "Contoso",
        "node.consumedUnits": 5,
        "node.holders.totalCount": 5,
        "node.holders.nodes.*.displayName": [
            "Adele Vance",
            "Alex Wilber",
            "Johanna Lorenz",
            "Lidia Holloway",
            "Miriam Graham",
        ],
    },
    "12-fetch-again": {
        "nodes.0.name": "Contoso",
        "nodes.1.displayName": "Adele Vance",
        "nodes.2.productName": POWER_BI,
        "nodes.3.name": "Company Administrator",
        "nodes.4.offerName": "Office 365 Enterprise E3",
        "nodes.5": None,
        "tenant.name": "Contoso",
        "same.name": "Contoso",
    },
    "13-who-am-i": {
        "viewer.name": "Demo partner",
        "viewer.kind": "PARTNER",
        "viewer.tenantCount": 13,
        "tenants.totalCount": 13,
        "tenants.nodes.3.name": "Contoso",
    },
    "14-assign-licenses": {
        "updateUserLicenses.user.licenses.*.sku.productName": [E3],
        "updateUserLicenses.user.licenses.0.disabledServicePlans": [{"name": "SWAY"}],
        "updateUserLicenses.effects.*.change": [1],
        "updateUserLicenses.effects.0.consumedUnitsAfter": 21,
        "updateUserLicenses.effects.0.predicted": False,
        "updateUserLicenses.userErrors": [],
    },
    "15-edit-user": {
        "updateUser.user.displayName": "Christie Cline-Moore",
        "updateUser.user.roles": [{"name": "Helpdesk Administrator"}],
        "updateUser.changedFields": ["lastName", "displayName", "usageLocation", "roleIds"],
        "updateUser.userErrors": [],
    },
    "16-create-user": {
        "createUser.user.userPrincipalName": "robin.kline@contoso.onmicrosoft.com",
        "createUser.user.licenses.*.sku.productName": [E3],
        "createUser.user.roles": [{"name": "Helpdesk Administrator"}],
        "createUser.delivery.*.status": ["FAILED"],
        "createUser.effects.*.availableUnitsAfter": [4],
        "createUser.userErrors": [],
    },
    "17-delete-user": {
        "deleteUser.user.status": "DELETED",
        "deleteUser.user.deletion.daysLeft": 29,
        "deleteUser.effects.*.change": [-1, -1, -1, -1, -1],
        "deleteUser.userErrors": [],
    },
    "18-restore-user": {
        "restoreUser.user.displayName": "Enrico Cattaneo",
        "restoreUser.user.status": "ACTIVE",
        "restoreUser.user.licenses.*.sku.productName": [EMS, E3],
        "restoreUser.effects.*.change": [1, 1],
        "restoreUser.userErrors": [],
    },
    "19-reset-password": {
        "resetUserPassword.temporaryPassword": None,
        "resetUserPassword.delivery.*.kind": ["NOTICE"],
        "resetUserPassword.userErrors": [],
    },
    "20-audit-log": {"tenant.auditLog.totalCount": 0, "tenant.auditLog.nodes": []},
    "21-find-anywhere": {
        "users.totalCount": 2,
        "users.nodes.*.tenant.name": ["Contoso", "Fabrikam"],
        "users.coverage.asked": 13,
        "users.coverage.answered": 12,
        "users.coverage.failed": [
            {"tenant": {"name": "Adatum Corporation"}, "code": "ACCESS_MISSING", "retryAfterSeconds": None}
        ],
    },
    "22-portfolio": {
        "portfolio.coverage": {"asked": 3, "answered": 3, "failed": []},
        "portfolio.lines.0.productName": EMS,
        "portfolio.lines.0.subscribedSkus.nodes": [{"availableUnits": 4, "tenant": {"name": "Contoso"}}],
    },
    "23-bulk-preview": {
        "updateLicensesInBulk.job": None,
        "updateLicensesInBulk.preview.userCount": 20,
        "updateLicensesInBulk.preview.effects.*.sku.productName": ["Visio Plan 2", E3],
        "updateLicensesInBulk.preview.effects.*.change": [2, -4],
        "updateLicensesInBulk.preview.effects.*.predicted": [True, True],
        "updateLicensesInBulk.preview.blockers.*.code": ["NONE_AVAILABLE"] * 16,
        "updateLicensesInBulk.userErrors": [],
    },
    "24-bulk-change": {
        "updateLicensesInBulk.job.id": JOB,
        "updateLicensesInBulk.job.total": 3,
        "updateLicensesInBulk.preview": None,
        "updateLicensesInBulk.userErrors": [],
    },
    "25-job-results": {
        "node.state": "PARTLY_FAILED",
        "node.done": 3,
        "node.failed": 1,
        "node.results.nodes.*.user.displayName": ["Adele Vance", "Alex Wilber", "Christie Cline"],
        "node.results.nodes.0.effects.*.change": [1, -1],
        "node.results.nodes.*.userErrors.*.code": [[], [], ["NONE_AVAILABLE"]],
    },
    "26-follow-a-job": {"jobProgress.state": "PARTLY_FAILED", "jobProgress.done": 3},
    "27-cancel-a-job": {"cancelJob.job.total": 3, "cancelJob.preview": None, "cancelJob.userErrors": []},
}
"""By example: what stands at a path of its answer. `*` gives a list with what the rest of the path says of each."""
