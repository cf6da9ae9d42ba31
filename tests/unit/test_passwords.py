"""Which passwords are good enough, and that they are kept as argon2id."""

from __future__ import annotations

import pytest

from llm_gateway import passwords
from llm_gateway.passwords import NOBODYS, hashed, matches, outdated, weakness
from llm_gateway.settings import Settings

GOOD = "seven unlikely green words"


@pytest.mark.parametrize(
    ("password", "name"),
    [
        ("", ""),
        ("fourteen chars", ""),
        ("x" * 201, ""),
        ("aaaaaaaaaaaaaaaa", ""),
        ("1234567890123456", ""),
        ("0987654321098765", ""),
        ("QwertyuiopAsdfgh", ""),
        ("passwordpassword", ""),
        ("Password12345678", ""),
        ("abcdefgabcdefgab", ""),
        ("thisismypassword", ""),
        ("monique.monique!", "monique"),
    ],
)
def test_what_is_guessed_first_is_refused_without_being_repeated(password: str, name: str) -> None:
    wrong = weakness(password, name)
    assert wrong is not None
    assert not password or password not in wrong


@pytest.mark.parametrize("password", [GOOD, "fifteen chars!!", "contraseña larguísima", "x7#Lq9!vRt2@pWz"])
def test_what_nobody_guesses_is_taken(password: str) -> None:
    assert weakness(password, "admin") is None


def test_a_password_is_kept_as_argon2id_with_salt() -> None:
    kept = hashed(GOOD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert GOOD not in kept
    assert hashed(GOOD) != kept
    assert matches(kept, GOOD)
    assert not matches(kept, GOOD + " ")
    assert not outdated(kept)


def test_the_same_characters_typed_in_another_way_match() -> None:
    assert matches(hashed("contraseña larguísima"), "contrasen\u0303a largui\u0301sima")


def test_nobody_has_a_password_and_it_costs_as_much_to_find_out() -> None:
    assert not matches(None, "")
    assert not outdated(NOBODYS), "its parameters are those of real ones"
    assert not matches("no hash at all", GOOD)


@pytest.mark.parametrize("weak", ["", "short", "adminadminadmin1"])
def test_a_weak_password_of_the_environment_is_a_mistake_that_does_not_show_it(weak: str) -> None:
    with pytest.raises(ValueError, match="admin_password") as raised:
        Settings(admin_password=weak)  # type: ignore[arg-type]
    assert not weak or weak not in str(raised.value)


def test_the_shortest_is_fifteen_characters() -> None:
    assert passwords.SHORTEST == 15
