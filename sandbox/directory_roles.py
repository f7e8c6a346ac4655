"""Directory roles by template id, with the names Partner Center gives them.

Template ids: learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference. Partner Center kept
the names of Azure AD's first years for some: Company Administrator is today's Global Administrator, User Account
Administrator is User Administrator, and the service roles read "… Service Administrator".
"""

from __future__ import annotations

COMPANY_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
HELPDESK_ADMINISTRATOR = "729827e3-9c14-49f7-bb1b-9608f156bbb8"
USER_ACCOUNT_ADMINISTRATOR = "fe930be7-5e62-47db-91af-98c3a49a38b1"
SERVICE_SUPPORT_ADMINISTRATOR = "f023fd81-a637-4b56-95fd-791ac0226033"
BILLING_ADMINISTRATOR = "b0f54661-2d74-4c50-afa3-1ec803f12efe"
DIRECTORY_READERS = "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"
REPORTS_READER = "4a5d8f65-41da-4de4-8968-e035b65339cf"
LICENSE_ADMINISTRATOR = "4d6ac14f-3453-41d0-bef9-a3e0c569773a"

DIRECTORY_ROLES = {
    COMPANY_ADMINISTRATOR: "Company Administrator",
    HELPDESK_ADMINISTRATOR: "Helpdesk Administrator",
    USER_ACCOUNT_ADMINISTRATOR: "User Account Administrator",
    SERVICE_SUPPORT_ADMINISTRATOR: "Service Support Administrator",
    BILLING_ADMINISTRATOR: "Billing Administrator",
    DIRECTORY_READERS: "Directory Readers",
    "9360feb5-f418-4baa-8175-e2a00bac4301": "Directory Writers",
    "f2ef992c-3afb-46b9-b7cf-a126ee74c451": "Global Reader",
    LICENSE_ADMINISTRATOR: "License Administrator",
    "e8611ab8-c189-46e8-94e1-60213ab1f814": "Privileged Role Administrator",
    "7be44c8a-adaf-4e2a-84d6-ab2649e08a13": "Privileged Authentication Administrator",
    "194ae4cb-b126-40b2-bd5b-6091b380977d": "Security Administrator",
    "29232cdf-9323-42fd-ade2-1d097af3e4de": "Exchange Service Administrator",
    "f28a1f50-f6e7-4571-818b-6a12f2af6b6c": "SharePoint Service Administrator",
    "69091246-20e8-4a56-aa4d-066075b2a7a8": "Teams Service Administrator",
    REPORTS_READER: "Reports Reader",
}
