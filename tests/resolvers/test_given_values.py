"""Errors say where and what was expected, and never repeat what was given: it may be a password."""
# ruff: noqa: UP031  # every other form doubles the braces of GraphQL

from __future__ import annotations

import json

import pytest

from tests.canaries import all_logs, find

WORD = "Hunter2Canary"
NUMBER = "918273645546372819"
RESET = "mutation { resetUserPassword(input: %s) { userErrors { code } } }"
CREATE = "mutation { createUser(input: %s) { userErrors { code } } }"
BY_VARIABLE = "mutation ($input: ResetUserPasswordInput!) { resetUserPassword(input: $input) { userErrors { code } } }"
STRINGS = [
    f'"{WORD}"',
    f'"""{WORD}"""',
    f'"a; {WORD}: at .input"',
    f'"\' enum. {WORD}"',
    f'"Did you mean {WORD}"',
    f'"{WORD} to be an object"',
    f'"x\', found {WORD}"',
]


async def refused(gateway, query, variables=None, *, words=(WORD, NUMBER)):
    """The errors of a document; neither answer nor log holds a canary, and Microsoft was not asked."""
    with all_logs() as logged:
        answer = await gateway.http.post("/graphql", json={"query": query, "variables": variables})
    body = answer.json()
    assert "errors" in body, body
    assert find(words, {"answer": answer.text, "headers": str(answer.headers), "log": logged.text()}) == []
    assert gateway.calls() == []
    return [(error["extensions"]["code"], error["message"]) for error in body["errors"]]


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("{value: %s}" % NUMBER, "String cannot represent the value."),
        ("{value: -%s}" % NUMBER, "String cannot represent the value."),
        ("{value: %s.5}" % NUMBER, "String cannot represent the value."),
        ("{value: %s}" % WORD, "String cannot represent the value."),
        ('{value: ["%s"]}' % WORD, "String cannot represent the value."),
        ('{value: {a: "%s"}}' % WORD, "String cannot represent the value."),
        ("{value: {%s: 1}}" % WORD, "String cannot represent the value."),
        ('{value: "%s", foo: 1}' % WORD, "Expected value of type 'PasswordInput' not to include unknown field."),
        ('{valu: "%s"}' % WORD, "Expected value of type 'PasswordInput' not to include unknown field."),
        ("{%s: 1}" % WORD, "Expected value of type 'PasswordInput' not to include unknown field."),
        ('{value: "%s", value: "b"}' % WORD, "An input field is given twice."),
        ('{%s: "a", %s: "b"}' % (WORD, WORD), "An input field is given twice."),
        ('{forceChangeAtNextSignIn: "%s"}' % WORD, "Boolean cannot represent the value."),
        ("{forceChangeAtNextSignIn: %s}" % WORD, "Boolean cannot represent the value."),
        *((text, "Expected value of type 'PasswordInput' to be an object.") for text in STRINGS),
        (NUMBER, "Expected value of type 'PasswordInput' to be an object."),
        (WORD, "Expected value of type 'PasswordInput' to be an object."),
        ('["%s"]' % WORD, "Expected value of type 'PasswordInput' to be an object."),
        ("$%s" % "secret", "Variable '$secret' is not defined."),
    ],
)
async def test_a_literal_in_the_wrong_place_is_not_repeated(gateway, password, message):
    errors = await refused(gateway, RESET % '{id: "x", password: %s}' % password)

    assert ("VALIDATION_FAILED", message) in errors or ("BAD_INPUT", message) in errors


async def test_whole_inputs_are_not_repeated(gateway):
    errors = await refused(gateway, CREATE % '{tenantId: "x", password: {value: "%s"}}' % WORD)

    assert {message for _, message in errors} == {
        f"Expected value of type 'CreateUserInput' to include required field '{name}'."
        for name in ("username", "domain", "displayName", "usageLocation", "sendPasswordTo")
    }


@pytest.mark.parametrize("text", STRINGS)
@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("roleIds", "Expected a GUID such as 6fd2c87f-b296-42f0-b197-1e91e994b900."),
        ("usageLocation", "Expected a country code of two letters (ISO 3166-1 alpha-2), such as GR."),
        ("sendPasswordTo", "Expected one e-mail address, such as ada@example.com."),
    ],
)
async def test_our_own_scalars_repeat_nothing_either(gateway, text, member, message):
    errors = await refused(gateway, CREATE % "{%s: %s}" % (member, text))

    assert message in [text for _, text in errors]


SYNTAX = [
    (RESET % '{id: "x", password: {value: "%s}}' % WORD, "Syntax Error: Unterminated string."),
    (RESET % '{id: "x", password: {value: "%s\n"}}' % WORD, "Syntax Error: Unterminated string."),
    (RESET % '{id: "x" password: {value "%s"}}' % WORD, "Syntax Error: Expected ':'."),
    (RESET % '{id: "x", password: {"%s"}}' % WORD, "Syntax Error: Expected Name."),
    (RESET % '{id: "x", password: "\\u{%s}"}' % WORD, "Syntax Error."),
    (RESET % '{id: "x", password: "\\%s"}' % WORD, "Syntax Error: Invalid character."),
    (RESET % "{id: 'x', password: '%s'}" % WORD, "Syntax Error."),
    (RESET % "{password: {value: %s%s}}" % (NUMBER, WORD), "Syntax Error: Invalid number."),
    (RESET % "{password: {value: 0%s}}" % NUMBER, "Syntax Error: Invalid number."),
    (RESET % "{password: {value: }}", "Syntax Error: Unexpected '}'."),
    ('"%s" { viewer { name } }' % WORD, None),
    ('{ viewer { "%s" } }' % WORD, "Syntax Error: Expected Name."),
    ("%s { viewer { name } }" % WORD, "Syntax Error."),
    ("{ viewer { name }", "Syntax Error: Expected Name."),
    ("", None),
]


@pytest.mark.parametrize(("query", "message"), SYNTAX)
async def test_a_text_that_cannot_be_read_is_not_repeated(gateway, query, message):
    if message is None:
        with all_logs() as logged:
            answer = await gateway.http.post("/graphql", json={"query": query})
        assert find([WORD], {"answer": answer.text, "log": logged.text()}) == []
        return
    (error,) = await refused(gateway, query)

    assert error == ("PARSE_FAILED", message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"value": int(NUMBER)}, " at .password.value: String cannot represent the value."),
        ({"value": [WORD]}, " at .password.value: String cannot represent the value."),
        ({"value": {WORD: 1}}, " at .password.value: String cannot represent the value."),
        (
            {"value": WORD, "x": 1},
            " at .password: Expected value of type 'PasswordInput' not to include unknown field.",
        ),
        ({WORD: 1}, " at .password: Expected value of type 'PasswordInput' not to include unknown field."),
        (WORD, " at .password: Expected value of type 'PasswordInput' to be an object."),
        ([WORD], " at .password: Expected value of type 'PasswordInput' to be an object."),
        (
            {"forceChangeAtNextSignIn": WORD},
            " at .password.forceChangeAtNextSignIn: Boolean cannot represent the value.",
        ),
    ],
)
async def test_a_variable_of_the_wrong_form_is_told_by_its_place(gateway, value, message):
    errors = await refused(gateway, BY_VARIABLE, {"input": {"id": "x", "password": value}})

    assert errors == [("BAD_INPUT", f"Variable '$input' has invalid value{message}")]


@pytest.mark.parametrize("text", [json.loads(text) for text in STRINGS if not text.startswith('"""')])
async def test_no_text_of_a_variable_gets_into_a_message(gateway, text):
    for given in (text, [text], {"id": text}, {"password": {"value": text}}, {"password": text}, {text: text}):
        await refused(gateway, BY_VARIABLE, {"input": given})
    for name in (text, "input"):
        await refused(gateway, BY_VARIABLE, {name: text, "other": text})


async def test_defaults_of_variables_are_not_repeated(gateway):
    await refused(gateway, 'query ($x: Int = "%s") { viewer { name } }' % WORD)
    await refused(gateway, "query ($x: Int = %s) { viewer { name } }" % WORD)


async def test_values_of_enums_are_not_repeated(gateway):
    query = "{ tenants(orderBy: {field: %s}) { nodes { name } } }"
    await refused(gateway, query % WORD)
    await refused(gateway, query % f'"{WORD}"')


async def test_variables_inside_a_literal_are_not_repeated(gateway):
    query = (
        'mutation ($p: String) { resetUserPassword(input: {id: "x", password: {value: $p}}) { userErrors { code } } }'
    )

    assert await refused(gateway, query, {"p": int(NUMBER)}) == [
        ("BAD_INPUT", "Variable '$p' has invalid value: String cannot represent the value.")
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ viewer { nmae } }", "Cannot query field 'nmae' on type 'Viewer'. Did you mean 'name'?"),
        ("{ viewer(x: 1) { name } }", "Unknown argument 'x' on field 'Query.viewer'."),
        (
            "{ viewer }",
            "Field 'viewer' of type 'Viewer!' must have a selection of subfields. Did you mean 'viewer { ... }'?",
        ),
        ("query ($a: Strin) { viewer { name } }", "Unknown type 'Strin'."),
        ("{ viewer { ...f } }", "Unknown fragment 'f'."),
    ],
)
async def test_names_in_a_document_are_told_as_they_are(gateway, query, message):
    errors = await refused(gateway, query)

    assert any(told.startswith(message.partition(" Did you")[0]) for _, told in errors), errors


async def test_a_mutation_with_a_password_is_remembered_nowhere(gateway):
    """Neither valid nor invalid, nor as a query by mistake."""
    import gc

    from graphql import Source

    for query in (
        RESET % '{id: "x", password: {value: "%s"}}' % WORD,
        RESET % '{id: "x", password: {value: "%s", y: 1}}' % WORD,
        '{ resetUserPassword(input: {password: {value: "%s"}}) { x } }' % WORD,
    ):
        await gateway.http.post("/graphql", json={"query": query})
    del query
    gc.collect()

    assert [source.body for source in gc.get_objects() if isinstance(source, Source) and WORD in source.body] == []
