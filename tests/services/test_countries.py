"""Countries: which codes a location can be set to, and what they are called."""

import re

import pytest

from services.countries import COUNTRIES, country_name


def test_the_table_holds_the_249_codes_of_iso_3166_in_order():
    assert len(COUNTRIES) == 249
    assert list(COUNTRIES) == sorted(COUNTRIES)
    assert [code for code in COUNTRIES if not re.fullmatch("[A-Z]{2}", code)] == []


def test_every_country_has_a_name_of_its_own():
    assert len(set(COUNTRIES.values())) == 249
    assert [name for name in COUNTRIES.values() if not name.strip() or name != name.strip()] == []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("AD", "Andorra"),
        ("AX", "Åland Islands"),
        ("CI", "Côte d’Ivoire"),
        ("GB", "Britain (UK)"),
        ("GR", "Greece"),
        ("NL", "Netherlands"),
        ("US", "United States"),
        ("ZW", "Zimbabwe"),
    ],
)
def test_a_code_gives_its_english_name(code, name):
    assert country_name(code) == name


@pytest.mark.parametrize("code", ["", "gr", "GRC", "EL", "UK", "EU", "XK", "ZZ", "AN", "YU", "SU", " GR"])
def test_other_codes_have_no_name(code):
    """Lower case, three letters, reserved codes (UK, EU), those given by users (XK, ZZ) and former countries."""
    assert country_name(code) is None


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        COUNTRIES["XX"] = "Nowhere"  # type: ignore[index]
