"""People of the sandbox's tenants: ids that stay, sign-in names that never collide, names from many places."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID, uuid5

from sandbox.world import User

_NAMESPACE = UUID("7a1f3f52-6c2e-4d6b-9a55-6f2f5f0c6e01")


def stable_id(*names: str) -> str:
    """The GUID of whatever these names say, the same after every start."""
    return str(uuid5(_NAMESPACE, "/".join(names)))


def person(
    domain: str,
    display_name: str,
    *,
    sign_in: str | None = None,
    first_name: str | None = None,
    last_name: str | None = None,
    usage_location: str | None = "US",
    licenses: dict[str, set[str]] | None = None,
    roles: set[str] | None = None,
    synced_at: datetime | None = None,
    deleted_at: datetime | None = None,
    licenses_at_deletion: dict[str, set[str]] | None = None,
) -> User:
    """Somebody of the tenant with this domain; unless said otherwise, `Given Family` is `given.family@domain`."""
    given, _, family = display_name.partition(" ")
    upn = f"{sign_in or ascii_sign_in(given, family)}@{domain}"
    user_id = stable_id("user", upn)
    return User(
        id=user_id,
        user_principal_name=upn,
        display_name=display_name,
        first_name=given if first_name is None else first_name,
        last_name=(family or None) if last_name is None else last_name,
        usage_location=usage_location,
        immutable_id=stable_id("immutable", upn) if synced_at else None,
        last_directory_sync_time=synced_at,
        deleted_at=deleted_at,
        licenses=licenses or {},
        licenses_at_deletion=licenses_at_deletion or {},
        roles=roles or set(),
    )


def ascii_sign_in(given: str, family: str) -> str:
    """`zoe.angstrom` of Zoë Ångström: a sign-in name takes ASCII letters, digits and a few marks, apostrophes too."""
    plain = unicodedata.normalize("NFKD", f"{given}.{family}".translate(_LETTERS))
    return "".join(c for c in plain.lower() if c.isascii() and (c.isalnum() or c in ".-'"))


def many_names() -> Iterator[tuple[str, str, str]]:
    """Given name, family name and country, without end; every given name meets every family name of its culture."""
    turn = 0
    while True:
        for country, given, family in _CULTURES:
            yield given[turn % len(given)], family[(turn + turn // len(given)) % len(family)], country
        turn += 1


_LETTERS = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ß": "ss", "đ": "d", "Đ": "D", "æ": "ae", "ı": "i"})

_CULTURES = [
    (country, given.split(), family.split())
    for country, given, family in (
        (
            "US",
            "Ava Caleb Dana Elijah Grace Harper Isaac Jordan Kayla Logan Maya Noah Olivia Parker Quinn Riley",
            "Adams Baker Carter Dawson Ellis Foster Griffin Hayes Irwin Jenkins Keller Lawson Mercer Nolan Osborne",
        ),
        (
            "DE",
            "Anke Björn Claudia Dieter Elke Franz Greta Heiko Ilse Jürgen Käthe Lutz Monika Norbert Otto Petra",
            "Albrecht Bäcker Cramer Dietrich Ebert Fuchs Groß Hübner Jäger Köhler Lorenz Möller Neumann Pohl Schäfer",
        ),
        (
            "FR",
            "Amélie Benoît Chloé Damien Élodie François Gaëlle Hugo Inès Jérôme Léa Maël Noémie Océane Pascal Rémi",
            "Aubert Blanchet Chauvin Delacroix Evrard Fabre Gauthier Hébert Jourdan Lefèvre Marchand Noël Picard",
        ),
        (
            "PL",
            "Agnieszka Błażej Celina Dariusz Ewa Grzegorz Hanna Jacek Łucja Marek Oliwia Paweł Renata Szymon Żaneta",
            "Adamczyk Bąk Czarnecki Dąbrowski Gołąb Jabłoński Kowal Łuczak Mazur Nowak Pająk Sikora Wójcik Zięba",
        ),
        (
            "ES",
            "Alba Bruno Carmen Diego Elena Fermín Gloria Héctor Inés Jaime Lucía Mateo Nuria Óscar Pilar Raúl",
            "Aguilar Benítez Castaño Domínguez Escobar Fuentes Gallego Herrera Ibáñez Lozano Muñoz Núñez Peña Rubio",
        ),
        (
            "IN",
            "Aarav Bhavna Chetan Deepa Esha Farhan Gauri Harish Isha Jatin Kavya Lakshmi Manish Neha Om Priya",
            "Agarwal Bose Chopra Desai Gandhi Iyer Joshi Kapoor Malhotra Nair Patel Rao Sharma Tiwari Verma",
        ),
        (
            "SE",
            "Agneta Bengt Cecilia Åke Ebba Fredrik Gunilla Henrik Ingrid Johan Kerstin Lars Märta Nils Örjan Pernilla",
            "Andersson Berg Dahl Ekström Forsberg Grönlund Holm Isaksson Jönsson Lindqvist Malm Nyström Öberg Persson",
        ),
        (
            "JP",
            "Akira Chihiro Daichi Emi Fumiko Haruto Ichiro Junko Kaito Mei Naoki Ren Sakura Takumi Yui",
            "Abe Endo Fujita Goto Hayashi Ito Kimura Mori Nakamura Ogawa Sato Takahashi Ueda Watanabe Yamamoto",
        ),
    )
]
