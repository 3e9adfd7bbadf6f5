"""What every destination must do. Skips come from what a connector declares, never from its name."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines.domain.destination import CheckStatus
from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.errors import ConfigError, TargetMissingError, ZsyncError
from zsync_pipelines_tests.conformance.cases import SECRET, Case, Place
from zsync_pipelines_tests.support.deliveries import NO_FIELDS, Sender
from zsync_pipelines_tests.support.readers import Held, comparable

EMAIL = pa.schema([("email", pa.string())])
ABC = {key: {"email": f"{key}@x.org"} for key in ("1", "2", "3")}

EVERY_TYPE = pa.schema(
    [
        ("text", pa.string()),
        ("whole", pa.int64()),
        ("real", pa.float64()),
        ("exact", pa.decimal128(38, 20)),
        ("yes", pa.bool_()),
        ("day", pa.date32()),
        ("local", pa.timestamp("us")),
        ("moment", pa.timestamp("us", "UTC")),
        ("nothing", pa.null()),
    ]
)
VALUES: dict[str, list[Any]] = {
    "text": [
        "",
        " ",
        "é😀",
        'a\nb\r\n"c",\t\\N',
        "\\.",
        "NULL",
        "null",
        "'; --",
        "\u2028\ufeff",
        "x" * 5_000,
        "a\x00b",
    ],
    "whole": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)],
    "real": [0.1, -0.0, 1e300, 5e-324, 1 / 3, math.nan, math.inf, -math.inf],
    "exact": [Decimal(0), Decimal("1E-20"), Decimal("-123456789012345678.12345678901234567890")],
    "yes": [True, False],
    "day": [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "local": [datetime(2024, 1, 31, 23, 59, 59, 999_999), datetime(1900, 1, 1), datetime(2024, 1, 1, 0, 0, 0, 1)],
    "moment": [datetime(2024, 1, 31, 23, 59, 59, 999_999, UTC), datetime(1900, 1, 1, tzinfo=UTC)],
    "nothing": [],
}
KEYS: dict[KeyType, list[str]] = {
    KeyType.INTEGER: ["0", "1", "-1", str(2**53), str(2**53 + 1), str(2**63 - 1), str(-(2**63))],
    KeyType.TEXT: [
        *("0", "7", "007", "", " a", "a ", "a", "A", "a\nb", "a\tb", '"', "'", ",", "\\", "\\N", "%s", "null", "NaN"),
        *("é", "e\u0301", "😀", "ß", "straße", "中文", "\u00a0", "x" * 300, "a\x00b"),
    ],
    KeyType.UUID: ["0e37df36-f698-11e6-8dd4-cb9ced3df976", "00000000-0000-0000-0000-000000000000"],
}


class Rig(Sender):
    """A sender to the case's target, with its independent reader."""

    read: Callable[[pa.Schema], Held]

    def check(self) -> None:
        """The destination holds what was acknowledged, neither more nor less."""
        assert comparable(self.read(self.payload)) == comparable(self.model)


@pytest.fixture
def rig(case: Case, place: Place) -> Rig:
    config, read = case.make(place)
    made = Rig(case.type, config, EMAIL)
    made.read = read
    return made


@pytest.fixture
def capabilities(case: Case):
    return connector(case.type).capabilities


def test_adds_updates_and_removes(rig):
    rig.run((Op.ADD, ABC))
    rig.check()
    rig.run((Op.UPDATE, {"2": {"email": "new@x.org"}}))
    rig.check()
    rig.run((Op.REMOVE, {"1": ABC["1"]}))
    rig.check()
    assert set(rig.model) == {"2", "3"}


def test_one_run_of_all_operations(rig):
    rig.run((Op.ADD, ABC))
    rig.run((Op.ADD, {"4": {"email": "d"}}), (Op.UPDATE, {"3": {"email": "c"}}), (Op.REMOVE, {"1": ABC["1"]}))
    rig.check()


def test_what_was_removed_can_be_added_again(rig):
    rig.run((Op.ADD, ABC))
    rig.run((Op.REMOVE, ABC))
    rig.check()
    rig.run((Op.ADD, {"2": {"email": "back@x.org"}}))
    rig.check()
    assert rig.model == {"2": {"email": "back@x.org"}}


def test_an_update_puts_a_row_that_is_not_there(rig):
    rig.run((Op.ADD, ABC))
    rig.run((Op.UPDATE, {"9": {"email": "i@x.org"}}))
    rig.check()


def test_removing_what_is_gone_is_accepted(rig):
    rig.run((Op.ADD, ABC))
    receipts = rig.run((Op.REMOVE, {"9": {"email": "i@x.org"}}))
    assert receipts[0].count(Outcome.REJECTED) == 0
    rig.check()


def test_a_run_without_batches_changes_nothing(rig):
    rig.run()
    rig.run((Op.ADD, ABC))
    rig.run()
    rig.check()


def test_one_row(rig):
    rig.run((Op.ADD, {"1": {"email": "a"}}))
    rig.check()


def test_many_batches(rig):
    rows = {str(n): {"email": f"p{n}@x.org"} for n in range(700)}
    receipts = rig.run((Op.ADD, rows), rows_per_batch=100)
    assert len(receipts) == 7
    changed = {str(n): {"email": None} for n in range(0, 700, 3)}
    rig.run((Op.UPDATE, changed), (Op.REMOVE, {str(n): rows[str(n)] for n in range(1, 700, 3)}), rows_per_batch=50)
    rig.check()
    assert len(rig.model) == 467


def test_a_sync_without_fields(rig):
    rig.payload = NO_FIELDS
    rig.run((Op.ADD, {"1": {}, "2": {}}))
    rig.run((Op.UPDATE, {"1": {}}), (Op.REMOVE, {"2": {}}))
    rig.check()


@pytest.mark.parametrize("key_type", KeyType)
def test_keys_of_every_type(rig, key_type):
    rig.key_type = key_type
    rows = rig.takes({key: {"email": f"mail of {key}".replace("\x00", "")} for key in KEYS[key_type]})
    assert len(rows) >= len(KEYS[key_type]) - 2  # at most U+0000 and a space at the end are not taken
    rig.run((Op.ADD, rows))
    rig.check()
    some = dict(list(rows.items())[::2])
    rig.run((Op.UPDATE, {key: {"email": "changed"} for key in some}))
    rig.check()
    rig.run((Op.REMOVE, some))
    rig.check()


def test_fields_of_every_type(rig):
    rig.payload = EVERY_TYPE
    nulls = dict.fromkeys(EVERY_TYPE.names)
    rows = {"0": nulls}
    for name, values in VALUES.items():
        rows |= {str(len(rows) + n): {**nulls, name: value} for n, value in enumerate(values)}
    rows |= {str(1_000 + n): {name: (VALUES[name] or [None])[0] for name in EVERY_TYPE.names} for n in range(3)}
    taken = rig.takes(rows)
    assert len(taken) >= len(rows) - 4  # at most NaN, the infinities and U+0000 are not
    rig.run((Op.ADD, taken))
    rig.check()
    # Each row takes another's values: nulls become values, and values nulls.
    turned = dict(zip(taken, [*list(taken.values())[1:], nulls], strict=True))
    rig.run((Op.UPDATE, turned))
    rig.check()


def test_large_strings_are_taken_as_well(rig):
    destination = rig.open()
    batch = rig.batch(Op.ADD, ABC)
    large = pa.schema([pa.field(column.name, pa.large_string()) for column in batch.table.schema])
    batch = replace(batch, table=batch.table.cast(large))
    rig.note(batch, ABC, destination.send(batch))
    destination.finish(rig.holdings)
    destination.close()
    rig.check()


def test_fields_with_awkward_names(rig):
    names = ("First Name", "select", "größe", "a%b", "a%b?$1:x", 'with "q"')
    taken = [name for name in names if takes_name(rig, name)]
    assert len(taken) >= 4  # a database may take neither question marks nor quotes
    rig.payload = pa.schema([(name, pa.string()) for name in taken])
    rows = {"1": {name: name for name in rig.payload.names}}
    rig.run((Op.ADD, rows))
    rig.run((Op.UPDATE, rows))
    rig.check()


def takes_name(rig: Rig, name: str) -> bool:
    rig.payload = pa.schema([(name, pa.string())])
    destination = rig.connect()
    try:
        destination.fields(rig.shape)
    except TargetMissingError:
        return False
    finally:
        destination.close()
    return True


def test_a_receipt_partitions_its_batch(rig, capabilities):
    destination = rig.open()
    for op in (Op.ADD, Op.UPDATE, Op.REMOVE):
        batch = rig.batch(op, ABC)
        receipt = destination.send(batch)
        assert (receipt.batch_number, receipt.rows) == (batch.number, 3)
        assert sum(receipt.count(outcome) for outcome in Outcome) == 3
        assert receipt.rest is (Outcome.PENDING if capabilities.whole else Outcome.ACCEPTED)
    destination.close()


def test_the_same_batch_again_is_applied_once(rig, capabilities):
    if not capabilities.keeps_receipts or capabilities.whole:
        pytest.skip("a batch's receipt is not kept, or there is none before the whole is in place")
    destination = rig.open()
    batch = rig.batch(Op.ADD, ABC)
    first = destination.send(batch)
    assert destination.send(batch) == first
    rig.note(batch, ABC, first)
    update = rig.batch(Op.UPDATE, {"1": {"email": "later"}})
    rig.note(update, {"1": {"email": "later"}}, destination.send(update))
    destination.close()
    other = rig.open()
    assert other.send(batch) == first
    other.close()
    rig.check()


def test_lookup_tells_what_arrived(rig, capabilities):
    if not capabilities.keeps_receipts:
        pytest.skip("nothing to ask")
    never = rig.batch(Op.ADD, ABC)
    before = rig.connect()
    assert before.lookup(never) == never.reject_all("never arrived", permanent=False)
    before.close()
    destination = rig.open()
    sent = rig.batch(Op.ADD, ABC)
    rig.note(sent, ABC, destination.send(sent))
    destination.finish(rig.holdings)
    destination.close()
    after = rig.connect()  # as the next run does: without opening
    found = after.lookup(sent)
    unsent = rig.batch(Op.ADD, {"9": {"email": "i"}})
    if not capabilities.whole:
        assert after.lookup(unsent) == unsent.reject_all("never arrived", permanent=False)
    after.close()
    if found == sent.accept_all():
        rig.check()
        return
    # Where only the whole counts, a destination may not know any more; then sending again must come out right.
    assert capabilities.whole
    assert found == sent.reject_all("never arrived", permanent=False)
    rig.model.clear()
    rig.run((Op.ADD, ABC))
    rig.check()


def test_what_a_dead_run_left_does_not_count(rig, capabilities):
    if not capabilities.whole:
        pytest.skip("a batch counts at once")
    rig.run((Op.ADD, ABC))
    dead = rig.open()
    batch = rig.batch(Op.ADD, {"9": {"email": "i"}})
    dead.send(batch)  # and the process dies: neither finish nor close
    rig.check()
    next_run = rig.connect()
    assert next_run.lookup(batch) == batch.reject_all("never arrived", permanent=False)
    next_run.close()
    rig.run((Op.ADD, {"9": {"email": "i"}}))
    rig.check()


def test_fields_and_check_change_nothing(rig, place):
    destination = rig.connect()
    before = sorted(place.folder.rglob("*"))
    destination.fields(rig.shape)
    steps = list(destination.check())
    assert steps
    assert {step.status for step in steps} == {CheckStatus.OK}
    destination.close()
    assert sorted(place.folder.rglob("*")) == before
    rig.run((Op.ADD, ABC))
    after = rig.connect()
    after.fields(rig.shape)
    assert {step.status for step in after.check()} == {CheckStatus.OK}
    after.close()
    rig.check()


def test_close_twice_and_without_use(rig):
    destination = rig.connect()
    destination.close()
    destination.close()
    opened = rig.open()
    opened.close()
    opened.close()


def test_the_target_is_stable_and_without_secrets(case, rig):
    kind = connector(case.type)
    settings = parse_settings(case.type, rig.config)
    target = kind.target(settings, "vip")
    assert target == kind.target(parse_settings(case.type, dict(rig.config)), "vip")
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in target.items())


@pytest.mark.parametrize("whole", [True, False])
def test_the_target_is_known_before_references_are_resolved(case, rig, whole):
    name = next(iter(rig.config))
    config = {**rig.config, name: "${NAME}" if whole else f"{rig.config[name]}${{NAME}}"}
    assert connector(case.type).target(parse_settings(case.type, config), "vip")


def test_secrets_stay_secret(case, rig):
    texts: list[str] = []
    try:
        settings = parse_settings(case.type, case.unusable)
        texts += [repr(settings), str(settings), str(connector(case.type).target(settings, "vip"))]
        texts.append(repr(connector(case.type)(settings)))
    except ConfigError as error:
        texts += ["".join(traceback.format_exception(error)), repr(error)]
    else:
        rig.config = case.unusable
        destination = rig.connect()
        texts += [step.detail for step in destination.check()]
        with pytest.raises(ZsyncError) as failure:
            rig.open().send(rig.batch(Op.ADD, ABC))  # some connect only when they send
        texts += ["".join(traceback.format_exception(failure.value)), repr(failure.value), repr(destination)]
        destination.close()
    assert texts
    assert not [text for text in texts if SECRET in text]


def test_a_wrong_setting_is_named_and_its_value_is_not(case, rig):
    name = next(iter(rig.config))
    for wrong in ({**rig.config, "no_such_setting": SECRET}, {**rig.config, name: [SECRET]}):
        with pytest.raises(ConfigError) as failure:
            parse_settings(case.type, wrong)
        assert {problem.path for problem in failure.value.problems} <= {"no_such_setting", name}
        assert SECRET not in "".join(traceback.format_exception(failure.value))
