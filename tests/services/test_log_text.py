"""How people are named in logs."""

from services.log_text import hashed


def test_an_address_is_named_by_the_start_of_its_sha_256_in_either_case():
    """The same as `printf %s ada@example.com | sha256sum | cut -c1-16`, so that its lines can be found."""
    assert hashed("ada@example.com") == "b5fc85e55755f9e0"
    assert hashed("Ada@Example.COM") == "b5fc85e55755f9e0"


def test_a_text_that_is_no_utf_8_is_hashed_too():
    """Half a surrogate pair can come in through JSON; a log line must not fail on it."""
    assert len(hashed("\ud800@example.com")) == 16
