"""What is shown of texts that may hold secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsync_pipelines.config.secret_text import holds_literal, masked_text
from zsync_pipelines.domain.secrecy import Secrecy

SHOWN_URLS = [
    "",
    "duckdb:///${SHOP_DB:-shop.duckdb}",
    "sqlite:///crm.db",
    "/var/data/x",
    "${SHOP_URL}",
    "s3://bucket/${PREFIX}/a",
    "postgresql://user@host:5432/db?sslmode=require&application_name=zsync",
    "postgresql://${USER}:${PASSWORD}@${HOST}:${PORT:-5432}/db",
    "postgresql://${HOST}:${PORT:-5432}/db",
    "postgresql://${A}:1,[::1]:${PORT},h:2/db",
    "snowflake://${USER:-etl}:${PW}@account/db/schema?warehouse=w&role=r",
    "https://example.org:8080/hook?source=zsync&token=${TOKEN}",
    "https://${BASIC}@example.org/hook",
    "not a url ${",
]


@pytest.mark.parametrize("url", SHOWN_URLS)
def test_an_address_without_literal_secrets_is_shown_as_written(url: str) -> None:
    assert masked_text(url, Secrecy.URL) == url
    assert not holds_literal(url, Secrecy.URL)


MASKED_URLS = [
    ("postgresql://u:p@h:5432/db?password=x&a=b", "postgresql://u:***@h:5432/db?password=***&a=b"),
    ("postgresql://u:p@ss/w?rd@h/db", "postgresql://u:***@h/db"),
    ("postgresql://u:${PW:-hunter2}@h/db", "postgresql://u:${PW:-***}@h/db"),
    ("postgresql://u:a${PW}b@h/db", "postgresql://u:***${PW}***@h/db"),
    ("${URL:-postgresql://u:p@h/db}", "${URL:-postgresql://u:***@h/db}"),
    ("postgresql://${AUTH:-u:p}@h", "postgresql://${AUTH:-***}@h"),
    ("postgresql://u:p${AT:-@}h/db", "postgresql://***${AT:-***}***/db"),
    ("${START}u:p@h", "${START}***@h"),
    ("${S:-https}://token@h", "${S:-https}://***@h"),
    ("https://token@h/x", "https://***@h/x"),
    ("https://h/x?Api_Key=abc#f", "https://h/x?Api_Key=***"),
    ("https://h/x?${NAME}=abc", "https://h/x?${NAME}=***"),
    ("https://h/x#sig=abc", "https://h/x#sig=***"),
    ("https://h/${X:-?token=abc}", "https://h/${X:-?token=***}"),
    ("https://h/?${X:-token=abc}", "https://h/?${X:-token=***}"),
    ("postgresql://u@h/db?%70assword=x", "postgresql://u@h/db?%70assword=***"),
    ("mssql:///?odbc_connect=Driver=x;PWD=s", "mssql:///?odbc_connect=***"),
    ("a\ue000://u:p@h", "***"),
]


@pytest.mark.parametrize(("url", "shown"), MASKED_URLS)
def test_literal_credentials_of_an_address_are_masked(url: str, shown: str) -> None:
    assert masked_text(url, Secrecy.URL) == shown
    assert masked_text(shown, Secrecy.URL) == shown
    assert holds_literal(url, Secrecy.URL)
    assert holds_literal(shown, Secrecy.URL), "a mask must not be stored as if it were the secret"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("abc", "***"),
        ("${X}", "${X}"),
        ("${X:-}", "${X:-}"),
        ("${X:-d}", "${X:-***}"),
        ("$${X}", "***"),
        ("a${X}b${Y}", "***${X}***${Y}"),
        ("Bearer ${X}", "Bearer ${X}"),
        ("Bearer abc", "***"),
        ("Bearer ${X}y", "***${X}***"),
        ("${", "***"),
    ],
)
def test_of_a_secret_only_references_are_shown(text: str, shown: str) -> None:
    assert masked_text(text, Secrecy.WHOLE) == shown
    assert masked_text(shown, Secrecy.WHOLE) == shown
    assert holds_literal(text, Secrecy.WHOLE) == (text != shown)


def test_what_is_open_is_shown() -> None:
    assert masked_text("u:p@h", Secrecy.OPEN) == "u:p@h"
    assert not holds_literal("***", Secrecy.OPEN)


REFERENCES = st.sampled_from(["${A}", "${B:-x}", "${C:-u:p@h}", "$${", "${"])
TEXTS = st.lists(st.one_of(st.text("ab:/?#&=@.,;%[]1 ", max_size=6), REFERENCES, st.just("://")), max_size=8).map(
    "".join
)


@given(TEXTS, st.sampled_from([Secrecy.URL, Secrecy.WHOLE]))
def test_masking_again_changes_nothing(text: str, secrecy: Secrecy) -> None:
    shown = masked_text(text, secrecy)
    assert masked_text(shown, secrecy) == shown


@given(st.text("ab:/?#&=@.,;%[]${}-1", max_size=12), TEXTS)
def test_a_password_is_never_shown(noise: str, end: str) -> None:
    password = f"hunter{noise}two"
    for url in (f"postgresql://me:{password}@h/{end}", f"https://h/a?token={password.replace('&', '')}&b={end}"):
        shown = masked_text(url, Secrecy.URL)
        assert "hunter" not in shown
        assert holds_literal(url, Secrecy.URL)
