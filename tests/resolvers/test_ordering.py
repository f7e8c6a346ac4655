"""Names are ordered and searched as people write them: without case, accents and the strokes through letters."""

import pytest

from resolvers.ordering import folded
from sandbox.people import person, stable_id

ADVENTURE = stable_id("tenant", "adventureworks.onmicrosoft.com")
USERS = """
query ($tenant: UUID!, $first: Int, $after: String, $search: String, $direction: OrderDirection!) {
  tenant(by: {microsoftId: $tenant}) {
    users(
      first: $first, after: $after, filter: {search: $search}
      orderBy: {field: DISPLAY_NAME, direction: $direction}
    ) { nodes { displayName } pageInfo { hasNextPage endCursor } }
  }
}
"""
IN_ORDER = [
    "Æon Flux",
    "Çelik Kaya",
    "Đorđe Ilić",
    "Eth Ðórðarson",
    "Ħamrun Borg",
    "Işıl Demir",
    "Lars Ohm",
    "Łukasz Żak",
    "Mike Lee",
    "Œuvre Paul",
    "Øystein Aa",
    "Strauss B",
    "STRAUß C",
    "Þór Jónsson",
    "Ŧuve Somby",
    "Zoë Ångström",
    "Ελένη Παπαδοπούλου",
]


@pytest.fixture
def people(sandbox):
    users = sandbox.world.customers[ADVENTURE].users
    for number, name in enumerate(reversed(IN_ORDER)):
        new = person("adventureworks.onmicrosoft.com", name, sign_in=f"p{number}")
        users[new.id] = new


async def page(gateway, direction="ASC", **variables):
    variables |= {"tenant": ADVENTURE, "direction": direction}
    users = (await gateway.data(USERS, variables))["tenant"]["users"]
    return [one["displayName"] for one in users["nodes"]], users["pageInfo"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Łł", "ll"),
        ("Øø", "oo"),
        ("Đđ", "dd"),
        ("Ħħ", "hh"),
        ("Ŧŧ", "tt"),
        ("Iıİi", "iiii"),
        ("ßẞ", "ssss"),
        ("Ææ", "aeae"),
        ("Œœ", "oeoe"),
        ("Þþ", "thth"),
        ("Ðð", "dd"),
        ("O’Brien", "o'brien"),
        ("ǾǽǼ", "oaeae"),
        ("Ångström", "angstrom"),
        ("ΠΑΠΑΔΟΠΟΎΛΟΥ", "παπαδοπουλου"),
        ("山田", "山田"),
    ],
)
def test_letters_that_unicode_does_not_take_apart_are_plain_ones(text, plain):
    assert folded(text) == plain


@pytest.mark.parametrize(("direction", "expected"), [("ASC", IN_ORDER), ("DESC", IN_ORDER[::-1])])
@pytest.mark.parametrize("first", [1, 4, 50])
async def test_such_names_stand_among_the_others_on_pages_of_any_size(gateway, people, direction, expected, first):
    found, after = [], None
    while True:
        names, info = await page(gateway, direction, first=first, after=after)
        found += names
        after = info["endCursor"]
        if not info["hasNextPage"]:
            break

    assert found == expected


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("lukasz", "Łukasz Żak"),
        ("łukasz", "Łukasz Żak"),
        ("oystein", "Øystein Aa"),
        ("dorde", "Đorđe Ilić"),
        ("thor", "Þór Jónsson"),
        ("tuve", "Ŧuve Somby"),
        ("isil", "Işıl Demir"),
        ("strauss c", "STRAUß C"),
        ("aeon", "Æon Flux"),
    ],
)
async def test_such_names_are_found_as_people_type_them(gateway, people, search, expected):
    names, _ = await page(gateway, search=search)

    assert names == [expected]
