"""Passwords: what is told about a bad one, and what is made."""

import math

import pytest

from services.passwords import (
    BLANK_AT_THE_ENDS,
    GENERATED_CHARACTERS,
    GENERATED_KINDS,
    HOLDS_THE_NAME,
    NOT_ALLOWED,
    SYMBOLS,
    TOO_FEW_KINDS,
    TOO_LONG,
    TOO_SHORT,
    generate,
    violations,
)
from services.secret import Secret

ADA = "ada.lovelace@contoso.onmicrosoft.com"


def test_the_sentences_say_what_is_wanted():
    """They are for callers, word for word."""
    assert [TOO_SHORT, TOO_LONG, TOO_FEW_KINDS, NOT_ALLOWED, BLANK_AT_THE_ENDS, HOLDS_THE_NAME] == [
        "It must have at least 8 characters.",
        "It must have at most 256 characters.",
        "It must mix at least three of these: lower-case letters, upper-case letters, digits, symbols.",
        "It may hold only letters from A to Z without accents, digits, blanks and these symbols: "
        "@ # $ % ^ & * - _ ! + = [ ] { } | \\ : ' , . ? / ` ~ \" ( ) ; < >",
        "It must neither begin nor end with a blank.",
        "It must not contain the user's name.",
    ]


@pytest.mark.parametrize(
    "password",
    [
        "Passw0rd",
        "passw0rd!",
        "PASSW0RD!",
        "Password!",
        "correct Horse 9",
        "correct Horse battery",  # the blank counts as a symbol
        "Aa1" + "x" * 253,
        "aA" + SYMBOLS,
    ],
)
def test_a_password_of_three_kinds_is_good(password):
    assert violations(password, [ADA]) == []


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("", [TOO_SHORT, TOO_FEW_KINDS]),
        ("Passw0r", [TOO_SHORT]),
        ("Aa1" + "x" * 254, [TOO_LONG]),
        ("password", [TOO_FEW_KINDS]),
        ("passw0rd", [TOO_FEW_KINDS]),
        ("PASSWORD!", [TOO_FEW_KINDS]),
        ("12345678", [TOO_FEW_KINDS]),
        ("Paßw0rd!", [NOT_ALLOWED]),
        ("Пароль-Пароль-9", [TOO_FEW_KINDS, NOT_ALLOWED]),
        ("Passw0rd\t!", [NOT_ALLOWED]),
        ("Passw0rd\u00a0!", [NOT_ALLOWED]),
        ("Passw0rd🔑", [NOT_ALLOWED]),
        (" Passw0rd", [BLANK_AT_THE_ENDS]),
        ("Passw0rd ", [BLANK_AT_THE_ENDS]),
        ("Passw0rd\n", [NOT_ALLOWED, BLANK_AT_THE_ENDS]),
        ("9-Ada.Lovelace", [HOLDS_THE_NAME]),
        ("ADA.LOVELACE1", [HOLDS_THE_NAME]),
        (" é", [TOO_SHORT, TOO_FEW_KINDS, NOT_ALLOWED, BLANK_AT_THE_ENDS]),
    ],
)
def test_every_violation_is_named(password, expected):
    assert violations(password, [ADA]) == expected


def test_letters_of_other_alphabets_count_as_no_kind():
    """Microsoft counts the kinds among the characters it allows."""
    assert violations("ÄÖÜäöü12", []) == [TOO_FEW_KINDS, NOT_ALLOWED]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["al@contoso.com"], []),
        (["ali@contoso.com"], [HOLDS_THE_NAME]),
        (["ALI@contoso.com"], [HOLDS_THE_NAME]),
        (["ali"], [HOLDS_THE_NAME]),
        (["", "@contoso.com", "  "], []),
        (["bob@contoso.com", "Alice"], [HOLDS_THE_NAME]),
        (["alice@contoso.com", "Alice", "ali"], [HOLDS_THE_NAME]),
        (["contoso.com@example.com"], []),
    ],
)
def test_names_of_three_characters_or_more_are_kept_out(names, expected):
    """One sentence however many of them occur, in whichever case; the domain does not count."""
    assert violations("Malice-2026", names) == expected


def test_no_sentence_holds_the_password_or_the_name():
    told = " ".join(violations("zqx-äz", ["zqx@contoso.com"]))

    assert told == " ".join([TOO_SHORT, TOO_FEW_KINDS, NOT_ALLOWED, HOLDS_THE_NAME])
    assert "zqx" not in told


def test_a_generated_password_is_sixteen_characters_of_four_kinds_that_keep_the_policy():
    made = [generate([ADA]).reveal() for _ in range(500)]

    for password in made:
        assert len(password) == 16
        assert [kind for kind in GENERATED_KINDS if set(kind).isdisjoint(password)] == []
        assert set(password) <= set("".join(GENERATED_KINDS))
        assert violations(password, [ADA]) == []
    assert len(set(made)) == 500


def test_a_generated_password_is_masked():
    password = generate()

    assert type(password) is Secret
    assert f"{password} {password!r}" == "******** Secret('********')"


def test_no_two_characters_of_generated_passwords_look_alike():
    alphabet = "".join(GENERATED_KINDS)

    assert len(set(alphabet)) == len(alphabet) == 46
    assert set(alphabet) & set("0OoQD1Iilj|2Zz5Ss8BGgq") == set()
    assert set(alphabet) & set("<>&'\"`\\@*_~=+-,.:;/()[]{} ") == set()


def test_a_generated_password_cannot_be_guessed():
    assert GENERATED_CHARACTERS * math.log2(len("".join(GENERATED_KINDS))) > 88


def test_a_generated_password_is_drawn_again_while_it_holds_the_name():
    """Every name of three characters from one start is kept out, so that the redraw is seen to happen."""
    names = [f"a{second}{third}" for second in "abcdefhkmn" for third in GENERATED_KINDS[0]]

    for _ in range(200):
        assert violations(generate(names).reveal(), names) == []
