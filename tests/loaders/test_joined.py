"""What is worked out from cached lists is kept with the newest of them only."""

from __future__ import annotations

from loaders.joined import Joined


def test_the_same_lists_give_the_same_value_and_others_of_the_key_take_its_place():
    joined: Joined[str] = Joined(most=10)
    old, new = [1], [1]
    assert joined.get("t", old, None, lambda: "of the old") == "of the old"
    assert joined.get("t", old, None, lambda: "anew") == "of the old"
    assert joined.get("t", new, None, lambda: "of the new") == "of the new"
    assert joined.find("t", old) is None
    assert joined.find("t", new) == "of the new"
    assert len(joined) == 1


def test_both_lists_must_be_the_very_same():
    joined: Joined[str] = Joined(most=10)
    one, other = [1], [2]
    joined.keep("t", "of both", one, other)
    assert joined.find("t", one, other) == "of both"
    assert joined.find("t", one, [2]) is None
    assert joined.find("t", one) is None


def test_the_oldest_key_makes_room():
    joined: Joined[str] = Joined(most=2)
    lists = {key: [key] for key in "abc"}
    for key, one in lists.items():
        joined.keep(key, key, one)
    assert [key for key, one in lists.items() if joined.find(key, one)] == ["b", "c"]
