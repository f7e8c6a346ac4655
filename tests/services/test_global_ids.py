"""Global ids: opaque, stable, in one spelling, and nothing but what was made here is read."""

from base64 import urlsafe_b64encode

import pytest

from services.global_ids import LONGEST_ID, GlobalId, decode_id, encode_id

TENANT = "4d3cf487-70f4-4e1e-9ff1-b2bfce8d9f04"
USER = "a9ef48bb-8758-4590-a312-d4a47bfaded4"


def written(text):
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("kind", ["User", "DirectoryRole", "SubscribedSku", "MicrosoftSubscription"])
def test_an_id_is_read_as_it_was_written(kind):
    assert decode_id(encode_id(kind, TENANT, USER)) == GlobalId(kind, TENANT, USER)


def test_a_tenant_has_no_id_beside_its_own():
    assert decode_id(encode_id("Tenant", TENANT)) == GlobalId("Tenant", TENANT, "")


def test_an_id_stays_the_same():
    """Clients keep ids: another form of them would break what they kept."""
    assert encode_id("Tenant", TENANT) == "VGVuYW50OjRkM2NmNDg3LTcwZjQtNGUxZS05ZmYxLWIyYmZjZThkOWYwNDo"


def test_every_id_fits_into_the_limit_of_an_id():
    assert len(encode_id("MicrosoftSubscription", TENANT, USER)) < LONGEST_ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        "nonsense",
        "VXNlcg",
        "Ł",
        "\ud800",
        "A" * (LONGEST_ID + 1),
        written("User"),
        written(f"User:{TENANT}"),
        written(f":{TENANT}:{USER}"),
        written(f"User::{USER}"),
        written(f"User:{TENANT}:{USER}:{USER}"),
        written(f"User:{TENANT.upper()}:{USER}"),
        written(f"User:{TENANT}:{USER.upper()}"),
        written(f"User:{TENANT}:../../{USER}"),
        written("User:not-a-guid:not-a-guid"),
        written(f"User:{TENANT}:{USER}\n"),
        written(f"Us er:{TENANT}:{USER}"),
        urlsafe_b64encode(b"\xff\xfe\xfd").decode(),
        encode_id("User", TENANT, USER) + "=",
        encode_id("User", TENANT, USER) + "\n",
        " " + encode_id("User", TENANT, USER),
    ],
)
def test_what_was_not_made_here_is_no_id(text):
    assert decode_id(text) is None
