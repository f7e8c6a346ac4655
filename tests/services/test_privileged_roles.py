"""Roles whose holders need more care, told by template id."""

from __future__ import annotations

import re

from sandbox.directory_roles import DIRECTORY_ROLES
from services.privileged_roles import PRIVILEGED_ROLES, is_privileged


def test_of_the_roles_of_a_tenant_these_are_privileged() -> None:
    assert {name for role_id, name in DIRECTORY_ROLES.items() if is_privileged(role_id)} == {
        "Company Administrator",
        "Helpdesk Administrator",
        "User Account Administrator",
        "Directory Writers",
        "Global Reader",
        "Privileged Role Administrator",
        "Privileged Authentication Administrator",
        "Security Administrator",
    }


def test_of_the_roles_of_a_tenant_these_are_not() -> None:
    assert {name for role_id, name in DIRECTORY_ROLES.items() if not is_privileged(role_id)} == {
        "Service Support Administrator",
        "Billing Administrator",
        "Directory Readers",
        "License Administrator",
        "Exchange Service Administrator",
        "SharePoint Service Administrator",
        "Teams Service Administrator",
        "Reports Reader",
    }


def test_the_case_of_an_id_does_not_matter() -> None:
    assert is_privileged("62E90394-69F5-4237-9190-012177145E10")


def test_an_unknown_role_is_not_privileged() -> None:
    assert not is_privileged("11111111-2222-3333-4444-555555555555")


def test_every_privileged_role_is_a_lower_case_guid() -> None:
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", role_id) for role_id in PRIVILEGED_ROLES)
    assert len(PRIVILEGED_ROLES) == 32
