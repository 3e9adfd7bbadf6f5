"""Which texts a type declares secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from pydantic import AliasChoices, BaseModel, Field, SecretStr

from zsync_pipelines.domain.config import Audience, Source, Sync
from zsync_pipelines.domain.secrecy import Secrecy, SecretUrl, change_secrets


class Basic(BaseModel):
    user: str
    password: SecretStr
    realm: str = ""


class Token(BaseModel):
    user: SecretStr
    token: Annotated[SecretStr, Field(min_length=1)]


class Tree(BaseModel):
    name: str
    children: list[Tree] = []
    key: SecretStr | None = None


class Settings(BaseModel):
    plain: str = ""
    number: int = 1
    url: SecretUrl | None = None
    old: Annotated[str, Secrecy.URL] = Field(default="", validation_alias=AliasChoices("old", "older"))
    headers: Mapping[str, SecretStr] = {}
    login: Basic | Token | None = None
    tokens: tuple[SecretStr, ...] = ()
    tree: Tree | None = None


def changed(value: dict[str, Any], kind: Any = Settings) -> Any:
    return change_secrets(kind, value, lambda path, _, secrecy: f"{'.'.join(path)}:{secrecy.name}")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"plain": "a", "number": 5}, {"plain": "a", "number": 5}),
        ({"url": "a"}, {"url": "url:URL"}),
        ({"older": "a"}, {"older": "older:URL"}),
        ({"headers": {"a": "b", "t": True}}, {"headers": {"a": "headers.a:WHOLE", "t": True}}),
        ({"headers": {"n": 5}}, {"headers": {"n": "headers.n:WHOLE"}}),
        ({"headers": ["x"]}, {"headers": ["headers.0:WHOLE"]}),
        ({"headers": "x"}, {"headers": "headers:WHOLE"}),
        (
            {"login": {"user": "u", "password": "p"}},
            {"login": {"user": "login.user:WHOLE", "password": "login.password:WHOLE"}},
        ),
        ({"login": {"realm": "r", "other": "o"}}, {"login": {"realm": "r", "other": "login.other:WHOLE"}}),
        ({"tokens": ["a", None]}, {"tokens": ["tokens.0:WHOLE", None]}),
        ({"unknown": {"a": ["b"]}}, {"unknown": {"a": ["unknown.a.0:WHOLE"]}}),
        (
            {"tree": {"name": "n", "children": [{"name": "m", "key": "k"}]}},
            {"tree": {"name": "n", "children": [{"name": "m", "key": "tree.children.0.key:WHOLE"}]}},
        ),
    ],
)  # fmt: skip
def test_what_is_secret(value: dict[str, Any], expected: dict[str, Any]) -> None:
    assert changed(value) == expected


def test_configuration_declares_its_own() -> None:
    tree = {
        "type": "and",
        "children": [{"condition_type": "property", "column": "a", "operator": "in", "value": ["x"]}],
    }
    assert changed({"url": "x"}, Source) == {"url": "url:URL"}
    for kind in (Audience, Sync):
        body = {"name": "n", "alerts": ["x"]}
        assert changed(body, kind) == {"name": "n", "alerts": ["alerts.0:WHOLE"]}
    assert changed({"model": "m", "filter_tree": tree, "timezone": "UTC"}, Audience)["filter_tree"] == tree


def test_markers_do_not_change_what_is_validated() -> None:
    settings = Settings.model_validate({"url": "https://u:p@h", "older": "x"})
    assert settings.url is not None
    assert settings.url.get_secret_value() == "https://u:p@h"
    assert "u:p" not in repr(settings)
