from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsync_pipelines.config.environment import malformed, references, resolve, resolve_known, unresolved
from zsync_pipelines.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "env", "expected"),
    [
        ("plain", {}, "plain"),
        ("${A}", {"A": "x"}, "x"),
        ("a${A}b${A}c", {"A": "x"}, "axbxc"),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:-d}", {"A": "x"}, "x"),
        ("${A:-}", {}, ""),
        ("${A:-sqlite:///x.db?a=b}", {}, "sqlite:///x.db?a=b"),
        ("$${A}", {"A": "x"}, "${A}"),
        ("$A $ {A} $", {"A": "x"}, "$A $ {A} $"),
        ("${A}", {"A": "${B}", "B": "no second round"}, "${B}"),
        ({"k": ["${A}", 1, None, True, {"n": "${A}"}]}, {"A": "x"}, {"k": ["x", 1, None, True, {"n": "x"}]}),
        (("${A}",), {"A": "x"}, ["x"]),
        ({"${A}": 1}, {"A": "x"}, {"${A}": 1}),
    ],
)
def test_resolve(written: object, env: dict[str, str], expected: object) -> None:
    assert resolve(written, env) == expected


def test_every_missing_variable_is_named_with_its_path_and_no_value_is_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(
            {"url": "x://${USER_NAME}:${PASS}@h", "list": ["${GONE}"]}, {"USER_NAME": "hunter2", "PASS": ""}, "config"
        )
    shown = [(p.path, p.message) for p in caught.value.problems]
    assert [path for path, _ in shown] == ["config.url", "config.list.0"]
    assert "'PASS' is empty" in shown[0][1]
    assert "'GONE' is not set" in shown[1][1]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("written", ["${", "${}", "${1A}", "${A", "${A B}", "${A:default}", "${A:-${B}}"])
def test_malformed_references_are_found_and_refused(written: str) -> None:
    env = {"A": "x", "B": "y"}
    assert [p.path for p in malformed({"k": written}, "p")] == ["p.k"]
    with pytest.raises(ConfigError, match="begins a reference"):
        resolve(written, env)
    assert written.replace("${B}", "y") == resolve_known(written, env)


def test_references_and_those_that_are_unresolved() -> None:
    value = {"a": "${A} $${NOT}", "b": ["${B:-x}", "${C}"]}
    assert references(value) == {"A", "B", "C"}
    assert unresolved(value, {"A": "1"}) == {"C"}
    assert resolve_known(value, {"A": "1"}) == {"a": "1 ${NOT}", "b": ["x", "${C}"]}


@given(st.text(), st.text(min_size=1))
def test_text_around_a_reference_is_kept(around: str, value: str) -> None:
    escaped = around.replace("${", "$${").replace("$$${", "$${")
    if malformed(escaped):
        return
    assert resolve(f"{escaped}|${{A}}", {"A": value}).endswith(f"|{value}")
