from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from zsync_pipelines.config.yaml_text import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("12:30", "12:30"),
        ("1:30:00", "1:30:00"),
        ("01234", "01234"),
        ("017", "017"),
        ("0o17", 15),
        ("0x1F", 31),
        ("0", 0),
        ("-3", -3),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("1.50", 1.5),
        (".5", 0.5),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("~", None),
        ("null", None),
        ("", None),
        ("''", ""),
        ("'1'", "1"),
        ("2024-01-31", date(2024, 1, 31)),
        ("2024-01-31T10:00:00Z", datetime(2024, 1, 31, 10, tzinfo=UTC)),
        ("2024-01-31 10:00:00", datetime(2024, 1, 31, 10)),
        ("2024-01-31T10:00+02:00", datetime(2024, 1, 31, 10, tzinfo=timezone(timedelta(hours=2)))),
        ("[US, NO]", ["US", "NO"]),
        ("=", "="),
        ("!!str 12", "12"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    parsed = parse(f"k: {text}")
    assert parsed.problems == ()
    assert parsed.value == {"k": value}
    assert type(parsed.value["k"]) is type(value)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("a: 1\nb: 2\na: 3", "a", "line 3: key 'a' is given twice, first in line 1"),
        ("x:\n  y: {z: 1, z: 2}", "x.y.z", "line 2: key 'z' is given twice, first in line 2"),
        ("a: 2024-02-30", "a", "line 1: there is no such date or time"),
        ("a: 1e999", "a", "this number is too large"),
        ("a: " + "9" * 5000, "a", "too large"),
        ("a: !!python/object/apply:os.system [x]", "a", "is not read"),
        ("a: !secret x", "a", "tag '!secret' is not read"),
        ("1: x", "", 'line 1: a key must be text; write "1" in quotes'),
        ("true: x", "", "a key must be text"),
        ("? [a]\n: b", "", "a key must be text, not a list or a map"),
        ("<<: {a: 1}", "", "merge keys"),
        ("x: &a [*a]", "x.0", "refers to itself"),
        ("x: */5 * * * *", "", "needs quotes"),
        ("x: {u: ${A}}", "", "such as ${NAME}) needs quotes"),
        ("a: b: c", "", "a text that holds ': ' needs quotes"),
        ("---\na: 1\n---\nb: 1", "", "one document"),
        ("a: \x07", "", "characters that YAML does not allow"),
        ("[" * 5000, "", "nested too deeply"),
        ("a: *nope", "", "undefined alias"),
    ],
)
def test_faults(text: str, path: str, message: str) -> None:
    problems = parse(text).problems
    assert [p.path for p in problems] == [path]
    assert message in problems[0].message


def test_every_fault_is_found() -> None:
    parsed = parse("a: 1\na: 2\nb: 2024-13-01\nc: {d: 1, d: 2}\ne: ok")
    assert [p.path for p in parsed.problems] == ["a", "b", "c.d"]
    assert parsed.value == {"a": 1, "b": None, "c": {"d": 1}, "e": "ok"}


def test_aliases_repeat_values_but_not_without_end() -> None:
    assert parse("a: &x {k: [1]}\nb: *x").value == {"a": {"k": [1]}, "b": {"k": [1]}}
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    problems = parse("\n".join(lines)).problems
    assert len(problems) == 1
    assert "aliases repeat too much" in problems[0].message


def test_messages_hold_no_values() -> None:
    for text in ("url: s3cret://a: b", "url: !!int s3cret", "url: {s3cret", "url: 's3cret"):
        problems = parse(text).problems
        assert problems
        assert "s3cret" not in str(problems)


_text = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]))
_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(alphabet=st.characters(categories=["L"]), min_size=1), _plain, max_size=4))
def test_what_pyyaml_writes_is_read_back(document: dict[str, Any]) -> None:
    """PyYAML quotes by YAML 1.1's rules, which quote more than 1.2's need."""
    parsed = parse(yaml.safe_dump(document, allow_unicode=True))
    assert (parsed.problems, parsed.value or {}) == ((), document)


@given(st.text(max_size=60))
def test_parse_never_raises(text: str) -> None:
    parse(text)
