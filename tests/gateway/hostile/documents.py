"""Documents that no client of good will sends, by class, each with the codes that it may be refused with."""

from __future__ import annotations

from collections.abc import Iterator

Hostile = tuple[str, str, set[str]]
"""What it is, the document, and the codes of which every one of its errors must have one."""

VALID = {"VALIDATION_FAILED"}
PARSE = {"PARSE_FAILED"}
TOKENS = {"TOKEN_LIMIT"}


def everything() -> Iterator[Hostile]:
    yield from nesting()
    yield from floods()
    yield from fragments()
    yield from introspection()
    yield from texts()
    yield from numbers()
    yield from nonsense()


def nesting() -> Iterator[Hostile]:
    for levels in (41, 100, 190, 300, 900, 10_000):
        inline = "{ " + "... { " * levels + "__typename" + " }" * (levels + 1)
        yield f"{levels} inline fragments", inline, {"DEPTH_LIMIT", "TOKEN_LIMIT"} | PARSE
    for levels in (20, 60, 190):
        back = "users { nodes { tenant { " * levels + "id" + " } } }" * levels
        yield f"{levels} ways there and back", f"{{ tenants {{ nodes {{ {back} }} }} }}", {"DEPTH_LIMIT"} | PARSE
    for levels in (100, 250, 1_000, 20_000):
        lists = "[" * levels + "]" * levels
        yield f"a list {levels} deep", f"{{ nodes(ids: {lists}) {{ id }} }}", PARSE | TOKENS | VALID
        objects = "{a: " * levels + "1" + "}" * levels
        yield f"an object {levels} deep", f"{{ tenant(by: {objects}) {{ id }} }}", PARSE | TOKENS | VALID
        types = "[" * levels + "ID" + "]" * levels
        yield f"a type {levels} deep", f"query ($a: {types}) {{ __typename }}", PARSE | TOKENS | VALID
    yield "200,000 braces", "{" * 60_000, PARSE | TOKENS


def floods() -> Iterator[Hostile]:
    yield "aliases", "{ " + " ".join(f"a{n}: viewer {{ name }}" for n in range(300)) + " }", {"ALIAS_LIMIT"}
    yield "aliases of one name", "{ " + "a: __typename " * 300 + "}", {"COST_LIMIT", "ALIAS_LIMIT"}
    yield "fields of one name", "{ viewer { " + "name " * 1_900 + "} }", {"COST_LIMIT"}
    conflict = " ".join(f"x: nodes(ids: [{n}]) {{ id }}" for n in range(150))
    yield "fields in conflict", f"{{ {conflict} }}", {"COST_LIMIT", "ALIAS_LIMIT"}
    yield "unknown fields", "{ " + " ".join(f"x{n}" for n in range(1_500)) + " }", VALID
    yield "unknown arguments", "{ viewer(" + ", ".join(f"x{n}: 1" for n in range(400)) + ") { name } }", VALID
    yield "arguments of one name", "{ tenants(" + "first: 1 " * 400 + ") { totalCount } }", VALID
    yield "directives at one place", "{ __typename " + "@skip(if: false) " * 200 + "}", {"DIRECTIVE_LIMIT"}
    yield "unknown directives", "{ " + "... @x { __typename } " * 300 + "}", {"DIRECTIVE_LIMIT"}
    spreads = "...F @skip(if: false) " * 200
    yield "directives of spreads", f"{{ {spreads} }} fragment F on Query {{ __typename }}", {"DIRECTIVE_LIMIT"}
    variables = " ".join(f"$v{n}: Int" for n in range(300))
    yield "variables", f"query ({variables}) {{ __typename }}", {"OPERATION_LIMIT"}
    yield "operations", " ".join(f"query Q{n} {{ __typename }}" for n in range(400)), {"OPERATION_LIMIT"}
    yield "operations of one name", "query Q { __typename } " * 9, VALID | {"BAD_REQUEST"}
    yield "operations without a name", "{ __typename } " * 9, VALID | {"BAD_REQUEST"}
    yield "comments", "#\n" * 30_000 + "{ __typename }", TOKENS
    yield "commas", "{ __typename " + "," * 70_000 + "}", TOKENS
    yield "punctuation", "! $ & ( ) ... : = @ [ ] { | } " * 1_000, PARSE | TOKENS
    yield "ids", "{ nodes(ids: [" + '"x" ' * 900 + "]) { id } }", {"LIST_LIMIT"}
    changes = " ".join(f'a{n}: deleteUser(input: {{id: "x"}}) {{ user {{ id }} }}' for n in range(15))
    yield "changes", f"mutation {{ {changes} }}", {"ALIAS_LIMIT"}


def fragments() -> Iterator[Hostile]:
    def doubling(count: int, last: str, on: str = "Query") -> str:
        parts = [f"fragment F{n} on {on} {{ ...F{n + 1} ...F{n + 1} }}" for n in range(count - 1)]
        return " ".join([*parts, f"fragment F{count - 1} on {on} {{ {last} }}"])

    yield "a bomb", "{ ...F0 } " + doubling(50, "viewer { name }"), {"COST_LIMIT"}
    yield "a bomb of aliases", "{ ...F0 } " + doubling(50, "a: __typename"), {"ALIAS_LIMIT"}
    pages = "tenants(first: 50) { nodes { users(first: 10) { totalCount } } }"
    yield "a bomb of pages", "{ ...F0 } " + doubling(12, pages), {"COST_LIMIT", "ALIAS_LIMIT"}
    yield (
        "a bomb in a bomb",
        "{ tenants { nodes { ...F0 } } } " + doubling(48, "users { totalCount }", "Tenant"),
        {"COST_LIMIT"},
    )
    deep = " ".join(
        f"fragment F{n} on Tenant {{ users {{ nodes {{ tenant {{ ...F{n + 1} }} }} }} }}" for n in range(49)
    )
    yield "a chain", f"{{ tenants {{ nodes {{ ...F0 }} }} }} {deep} fragment F49 on Tenant {{ id }}", {"DEPTH_LIMIT"}
    yield "a circle of one", "{ ...A } fragment A on Query { ...A }", VALID
    circle = " ".join(f"fragment F{n} on Query {{ ...F{(n + 1) % 50} }}" for n in range(50))
    yield "a circle of fifty", f"{{ ...F0 }} {circle}", VALID
    everyone = " ".join(f"...F{n}" for n in range(20))
    all_to_all = " ".join(f"fragment F{n} on Query {{ {everyone} }}" for n in range(20))
    yield "circles of all with all", f"{{ {everyone} }} {all_to_all}", VALID
    wide = "fragment A on User { tenant { users { nodes { ...A } } } }"
    yield "a circle through objects", f"{{ users {{ nodes {{ ...A }} }} }} {wide}", VALID
    yield "nobody's fragments", "{ __typename } " + "fragment X on Query { __typename } " * 45, VALID
    yield (
        "too many",
        "{ __typename } " + " ".join(f"fragment F{n} on Query {{ a }}" for n in range(200)),
        {"OPERATION_LIMIT"},
    )
    yield (
        "a deep one that nobody spreads",
        "{ __typename } fragment A on Query { " + "... { " * 180 + "a" + " }" * 181,
        {"DEPTH_LIMIT"},
    )
    yield "on a type that is none", "{ ... on Nothing { a } }", VALID
    yield "on a scalar", "{ ... on Int { a } }", VALID


def introspection() -> Iterator[Hostile]:
    ladder = "fields { type { " * 20 + "name" + " } }" * 20
    yield "a ladder", f"{{ __schema {{ types {{ {ladder} }} }} }}", {"DEPTH_LIMIT"} | VALID
    yield "a short ladder", '{ __type(name: "User") { ' + "fields { type { " * 5 + "name" + " } }" * 5 + " } }", VALID
    twins = "__schema { types { name } } " * 10
    yield "ten schemas", f"{{ {twins} }}", {"DEPTH_LIMIT"}
    many = " ".join(f'a{n}: __type(name: "User") {{ fields {{ name }} }}' for n in range(100))
    yield "a hundred types", f"{{ {many} }}", {"ALIAS_LIMIT"}
    yield "an unknown part of it", "{ __schema { passwords } }", VALID
    yield "below the top", "{ viewer { __schema { types { name } } } }", VALID


def texts() -> Iterator[Hostile]:
    for what, escape in {
        "half a surrogate pair": "\\uD800",
        "the other half": "\\uDC00",
        "halves in the wrong order": "\\uDC00\\uD800",
        "beyond Unicode": "\\u{110000}",
        "an endless escape": "\\u{" + "0" * 1_000 + "}",
        "an unknown escape": "\\x41",
        "a line break": "\n",
    }.items():
        yield what, f'{{ tenants(search: "{escape}") {{ totalCount }} }}', PARSE
    yield "a text without an end", '{ tenants(search: "', PARSE
    yield "a block without an end", '{ tenants(search: """' + "x" * 1_000, PARSE
    yield "60,000 characters", '{ tenants(search: "' + "x" * 60_000 + '") { totalCount } }', {"LIST_LIMIT"}
    block = '"""' + "x\n" * 20_000 + '"""'
    yield "a block of lines", f"{{ tenants(search: {block}) {{ totalCount }} }}", {"LIST_LIMIT"}
    yield "escapes", '{ tenants(search: "' + "\\u0041" * 10_000 + '") { totalCount } }', {"LIST_LIMIT"}
    yield "a long name", "{ " + "x" * 60_000 + " }", VALID
    yield "letters that look alike", "{ t\u0435nants { totalCount } }", PARSE
    yield "from right to left", "{ \u202etenants { totalCount } }", PARSE
    yield "no width", "{ ten\u200bants { totalCount } }", PARSE
    yield "a mark in the middle", "{ tenants \ufeff { nothing } }", VALID | PARSE
    yield "a NUL between names", "{ __typename\0 }", PARSE
    yield "emoji", "{ \U0001f4a9 }", PARSE
    yield "100 KiB of white space", " " * 100_000 + "{ __typename }", TOKENS


def numbers() -> Iterator[Hostile]:
    for what, text, codes in (
        ("6,000 digits", "9" * 6_000, VALID),
        ("a negative of 6,000 digits", "-" + "9" * 6_000, VALID),
        ("beyond 32 bits", "2147483648", {"PAGE_SIZE_LIMIT"} | VALID),
        ("a fraction", "1.5", VALID),
        ("a whole fraction", "1.0", VALID),
        ("no number is so large", "1e999", VALID),
        ("no number is so small", "1e-999", VALID),
        ("an exponent of 5,000 digits", "1e" + "9" * 5_000, VALID),
        ("NaN", "NaN", VALID),
        ("hexadecimal", "0x10", PARSE),
        ("a leading zero", "007", PARSE),
        ("a plus", "+1", PARSE),
        ("a text", '"1"', VALID),
        ("a truth", "true", VALID),
        ("a list", "[1]", VALID),
        ("below zero", "-1", {"PAGE_SIZE_LIMIT"}),
        ("too much", "501", {"PAGE_SIZE_LIMIT"}),
    ):
        yield what, f"{{ tenants(first: {text}) {{ totalCount }} }}", codes


def nonsense() -> Iterator[Hostile]:
    yield from (
        ("a schema", "type Query { a: Int }", VALID | {"BAD_REQUEST"}),
        ("an extension of the schema", "{ __typename } extend type Query { a: Int }", VALID),
        ("a directive's definition", "{ __typename } directive @a on FIELD", VALID),
        ("only a fragment", "fragment A on Query { __typename }", VALID | {"BAD_REQUEST"}),
        ("only a comment", "# nothing", PARSE),
        ("only white space", " \n\t,", PARSE),
        ("SQL", "'; DROP TABLE users; --", PARSE),
        ("a page", "<script>alert(1)</script>", PARSE),
        ("JSON", '{"query": "{ __typename }"}', PARSE),
        ("a subscription", "subscription { users { totalCount } }", VALID | {"BAD_REQUEST"}),
        ("@defer", "{ ... @defer { viewer { name } } }", {"BAD_REQUEST"}),
        ("@stream", "{ tenants { nodes @stream(initialCount: 0) { id } } }", {"BAD_REQUEST"}),
        ("no selection", "{ viewer }", VALID),
        ("a selection of a text", "{ viewer { name { length } } }", VALID),
        ("an undeclared variable", "{ node(id: $id) { id } }", VALID),
        ("a variable of another type", "query ($id: Int) { node(id: $id) { id } }", VALID),
        ("a variable of an object type", "query ($id: Tenant) { __typename }", VALID),
        ("a variable as its own default", "query ($a: Int = $a) { tenants(first: $a) { totalCount } }", PARSE),
        ("two members of one", '{ tenant(by: {domain: "a.b", id: "x"}) { id } }', VALID),
        ("no member of one", "{ tenant(by: {}) { id } }", VALID),
        ("a null member of one", "{ tenant(by: {domain: null}) { id } }", VALID),
        ("a member twice", '{ tenant(by: {domain: "a.b", domain: "a.c"}) { id } }', VALID),
        ("a change among questions", '{ deleteUser(input: {id: "x"}) { user { id } } }', VALID),
        ("fields of another object", '{ node(id: "x") { passwordProfile } }', VALID),
        ("Python", "{ viewer { __class__ __dict__ __init__ } }", VALID),
        ("a prototype", "{ __proto__ constructor toString }", VALID),
    )
