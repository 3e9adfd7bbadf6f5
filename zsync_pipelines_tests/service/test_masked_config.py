"""Stored objects as they may be shown."""

from __future__ import annotations

from typing import Any

import pytest

from zsync_pipelines.domain.config import Kind
from zsync_pipelines.service.masked_config import masked_body


@pytest.mark.parametrize(
    ("kind", "body", "shown"),
    [
        (Kind.SOURCE, {"url": "postgresql://u:p@h/${DB}"}, {"url": "postgresql://u:***@h/${DB}"}),
        (
            Kind.DESTINATION,
            {"type": "webhook", "name": "N", "config": {"url": "https://h/", "secret": "x", "headers": {"a": "b"}}},
            {"type": "webhook", "name": "N", "config": {"url": "https://h/", "secret": "***", "headers": {"a": "***"}}},
        ),
        (
            Kind.DESTINATION,
            {"type": "file", "config": {"url": "s3://b/${P}", "format": "csv", "options": {"a": "${K}", "n": 5}}},
            {"type": "file", "config": {"url": "s3://b/${P}", "format": "csv", "options": {"a": "${K}", "n": "***"}}},
        ),
        (
            Kind.DESTINATION,
            {"type": "sql", "config": {"url": "mysql://u:p@h/d", "table": "t", "pasword": "x"}},
            {"type": "sql", "config": {"url": "mysql://u:***@h/d", "table": "t", "pasword": "***"}},
        ),
        (
            Kind.DESTINATION,
            {"type": "not_installed", "config": {"list": "abc", "deep": [{"token": "x", "n": 1, "r": "${R}"}]}},
            {"type": "not_installed", "config": {"list": "***", "deep": [{"token": "***", "n": "***", "r": "${R}"}]}},
        ),
        (Kind.DESTINATION, {"config": "x"}, {"config": "***"}),
        (Kind.SOURCE, {"later": "version", "url": ["x"]}, {"later": "***", "url": ["x"]}),
        (
            Kind.SYNC,
            {"audience_id": "a", "alerts": ["https://h/hook", "${HOOK}"], "config": {"table": "t"}},
            {"audience_id": "a", "alerts": ["***", "${HOOK}"], "config": {"table": "***"}},
        ),
    ],
)  # fmt: skip
def test_masked(kind: Kind, body: dict[str, Any], shown: dict[str, Any]) -> None:
    assert masked_body(kind, body) == shown


def test_a_sync_is_judged_by_the_type_of_its_destination() -> None:
    body = {"config": {"table": "t", "url": "mysql://u:p@h/d"}}
    assert masked_body(Kind.SYNC, body, "sql") == {"config": {"table": "t", "url": "mysql://u:***@h/d"}}
