"""What the suites of connectors need to know of one: its stand-in, its settings, and what the stand-in should hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zsync_pipelines_tests.support.vendors.base import TOKEN, VendorServer

Held = Mapping[Any, Mapping[str, Any]]
"""Who is on the list, by whatever identifies members there, with the fields that the stand-in has of them."""


@dataclass(frozen=True)
class Person:
    """One row of the source. `version` changes what is not an identifier."""

    id: int
    email: str
    first_name: str = "Ann"
    version: int = 0

    @property
    def phone(self) -> str:
        """A number of the North American plan, written as people write it."""
        return f"+1 (650) {253 + self.id // 10_000}-{self.id % 10_000:04d}"

    @property
    def spend(self) -> float:
        """Some number."""
        return float(self.version)

    def values(self) -> tuple[Any, ...]:
        """In the order of `COLUMNS`, without the id."""
        return (self.email, self.phone, self.first_name, "Smith", "US", "94043", self.spend)


_TEXTS = ("email", "phone", "first_name", "last_name", "country", "postcode")
COLUMNS = ", ".join([*(f"{name} VARCHAR" for name in _TEXTS), "spend DOUBLE"])


def person(number: int, version: int = 0, email: str | None = None) -> Person:
    """Somebody. With another `version` the fields differ, the identifiers do not."""
    return Person(number, email or f"person{number}@example.org", f"Ann {version}", version)


@dataclass(frozen=True)
class ConnectorCase:
    """One connector in one configuration.

    `server`: makes its stand-in, with one list that is empty. `config(server)`: the settings for that list, credentials
    included; `secrets`: what of them must never be shown. `mapping`: source column to destination field.

    `held(server)`: who is on the list; `expected(person)`: what should be there of somebody: the identity, and the
    fields. `name_of(person)`: what `server.refuse` is called with for that person.

    `steps`: of a check. `unknown_field`: a field that is not there is refused. `max_rows`: of one request.

    Where the vendor has it: `named(server, name)`: the settings for a list by name, which is made; `made_list(server)`:
    who is on it. `delete_list(server)`: takes the list of `config` away. `opt_out(server, person)`: marks somebody as
    opted out; `opted_out(server, person)`: whether they still are.
    """

    id: str
    type: str
    server: Callable[[], VendorServer]
    config: Callable[[Any], dict[str, Any]]
    mapping: Mapping[str, str]
    held: Callable[[Any], Held]
    expected: Callable[[Person], tuple[Any, Mapping[str, Any]]]
    steps: tuple[str, ...]
    named: Callable[[Any, str], dict[str, Any]] | None = None
    name_of: Callable[[Person], str] = lambda person: person.email
    delete_list: Callable[[Any], None] | None = None
    made_list: Callable[[Any], Held] | None = None
    opt_out: Callable[[Any, Person], None] | None = None
    opted_out: Callable[[Any, Person], bool] | None = None
    unknown_field: bool = True
    max_rows: int = 10_000
    secrets: tuple[str, ...] = (TOKEN,)

    def should_hold(self, people: list[Person]) -> Held:
        """What the stand-in should hold when these are the members."""
        return dict(self.expected(somebody) for somebody in people)
