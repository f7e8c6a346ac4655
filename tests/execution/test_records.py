"""Records stand for dictionaries: the same members in the same order, whatever they are called."""

from __future__ import annotations

import json

import msgspec
import pytest

from execution.records import plain, record_type


@pytest.mark.parametrize("names", [("b", "a"), ("class", "__typename", "m0"), ("a" * 300,), ()])
def test_a_record_is_encoded_as_the_dictionary_that_it_stands_for(names):
    record = record_type(names)(*range(len(names)))
    expected = {name: number for number, name in enumerate(names)}

    assert list(plain(record).items()) == list(expected.items())
    assert msgspec.json.encode(record) == msgspec.json.encode(expected)


def test_an_answer_with_records_at_any_depth_can_be_spelt_out_where_it_holds_half_a_surrogate_pair():
    person, product = record_type(("name", "held")), record_type(("product",))
    answer = {"data": {"people": [person("Ada", [product("E3"), None]), None]}, "errors": [{"message": "\ud800"}]}

    assert json.loads(json.dumps(plain(answer))) == {
        "data": {"people": [{"name": "Ada", "held": [{"product": "E3"}, None]}, None]},
        "errors": [{"message": "\ud800"}],
    }
