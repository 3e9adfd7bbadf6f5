"""What is Kafka's own: records as consumers see them, reports of brokers, faults, topics, settings; whole runs."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import confluent_kafka.admin
import pyarrow as pa
import pytest
from confluent_kafka import KafkaError, KafkaException

from zsync_pipelines.destinations.kafka import KafkaDestination
from zsync_pipelines.destinations.registry import parse_settings
from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines.domain.destination import CheckStatus
from zsync_pipelines.domain.run import RunStatus
from zsync_pipelines.errors import ConfigError, CredentialsError, OutcomeUnknownError, TargetMissingError
from zsync_pipelines_tests.connectors.case import ConnectorCase, person
from zsync_pipelines_tests.connectors.stage import Stage
from zsync_pipelines_tests.connectors.test_crash import kill_twice
from zsync_pipelines_tests.support.deliveries import Sender
from zsync_pipelines_tests.support.kafka_cluster import DISCONNECT, PRODUCE, KafkaCluster, kafka_cluster
from zsync_pipelines_tests.support.world import World, changes

EMAIL = pa.schema([("email", pa.string())])
ABC = {key: {"email": f"{key}@x.org"} for key in ("1", "2", "3")}
SETTINGS = {"bootstrap_servers": "127.0.0.1:1", "topic": "members", "timeout_seconds": 0.2}


@pytest.fixture(scope="module")
def running() -> Iterator[KafkaCluster]:
    with kafka_cluster() as found:
        yield found


@pytest.fixture
def cluster(running) -> Iterator[KafkaCluster]:
    yield running
    running.heal()


@dataclass
class Topic(Sender):
    """A sender to a topic of its own."""

    cluster: KafkaCluster = None

    @property
    def name(self) -> str:
        return self.config["topic"]

    def held(self):
        return {key: json.loads(value) for key, value in self.cluster.compacted(self.name).items()}

    def records(self):
        return self.cluster.records(self.name)


@pytest.fixture
def topic(cluster) -> Topic:
    config = {"bootstrap_servers": cluster.servers, "topic": cluster.new_topic(), "timeout_seconds": 10}
    return Topic("kafka", config, EMAIL, cluster=cluster)


def test_a_record_is_what_consumers_need(topic):
    topic.run((Op.ADD, {"1": {"email": "é@x.org"}}), (Op.REMOVE, {"1": {"email": "é@x.org"}}))
    added, removed = topic.records()
    assert (added.key(), json.loads(added.value())) == (b"1", {"email": "é@x.org"})
    assert (removed.key(), removed.value()) == (b"1", None)
    headers = dict(added.headers())
    assert (headers["zsync-sync-id"], headers["zsync-run-id"]) == (b"vip", b"run0001")
    assert [dict(record.headers())["zsync-operation"] for record in (added, removed)] == [b"add", b"remove"]
    assert len(headers["zsync-idempotency-key"]) == 32


def test_records_are_where_java_puts_them(topic):
    """Hashes of these keys from the tests of Kafka's own `Utils.murmur2`."""
    hashes = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}
    topic.run((Op.ADD, {key: {"email": "x"} for key in hashes}))
    found = {record.key().decode(): record.partition() for record in topic.records()}
    assert found == {key: (number & 0x7FFFFFFF) % 3 for key, number in hashes.items()}


def test_faults_that_pass_leave_each_record_there_once_and_in_order(topic):
    destination = topic.open()
    for value in ("old", "new"):
        passing = [KafkaError.NOT_ENOUGH_REPLICAS, DISCONNECT, KafkaError.REQUEST_TIMED_OUT]
        topic.cluster.fail_next(PRODUCE, passing)
        rows = {str(number): {"email": value} for number in range(50)}
        assert destination.send(topic.batch(Op.ADD, rows)).rest is Outcome.ACCEPTED
    destination.close()
    assert len(topic.records()) == 100
    assert topic.held() == rows


def test_a_record_that_is_too_large_is_refused_alone(topic):
    rows = {**ABC, "2": {"email": "x" * 1_100_000}}
    (receipt,) = topic.run((Op.ADD, rows))
    assert [(rejection.entity_key, rejection.permanent) for rejection in receipt.rejections()] == [("2", True)]
    assert "too large" in next(receipt.rejections()).reason
    assert topic.held().keys() == {"1", "3"}


def test_what_a_broker_refuses_is_looked_for_in_pieces(topic):
    destination = topic.open()
    topic.cluster.fail_next(PRODUCE, [KafkaError.INVALID_RECORD] * 3)
    receipt = destination.send(topic.batch(Op.ADD, ABC))
    assert (receipt.rest, receipt.doubtful) == (Outcome.REJECTED, True)
    topic.cluster.heal()
    topic.cluster.fail_next(PRODUCE, [KafkaError.INVALID_RECORD])
    one = destination.send(topic.batch(Op.ADD, {"1": ABC["1"]}))
    assert (one.rest, one.permanent, one.doubtful) == (Outcome.REJECTED, True, False)
    assert "validate" in one.reason
    assert destination.send(topic.batch(Op.ADD, ABC)).rest is Outcome.ACCEPTED
    destination.close()
    assert topic.held() == ABC


def test_a_topic_that_may_not_be_written_to_stops_the_run(topic, monkeypatch):
    destination = topic.open()
    topic.cluster.fail_next(PRODUCE, [KafkaError.TOPIC_AUTHORIZATION_FAILED] * 3)
    with pytest.raises(CredentialsError, match="permission"):  # of several, some may fail for what befell the others
        destination.send(topic.batch(Op.ADD, {"1": ABC["1"]}))
    refusal = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    monkeypatch.setattr(KafkaDestination, "_produce", lambda _, batch, refused, failed: failed.append(refusal))
    with pytest.raises(OutcomeUnknownError, match="1 of 3"):  # two of them are there
        destination.send(topic.batch(Op.ADD, ABC))
    destination.close()


def test_what_went_unconfirmed_does_not_arrive_after_what_came_later(topic):
    topic.config["timeout_seconds"] = 0.8
    destination = topic.open()
    topic.cluster.turn(up=False)
    with pytest.raises(OutcomeUnknownError):
        destination.send(topic.batch(Op.ADD, {"1": {"email": "old"}}))
    topic.cluster.turn(up=True)
    topic.config["timeout_seconds"] = 10
    assert topic.run((Op.ADD, {"1": {"email": "new"}}))[0].rest is Outcome.ACCEPTED
    destination.close()
    assert topic.held() == {"1": {"email": "new"}}
    assert len(topic.records()) == 1


def test_a_topic_that_is_not_there(topic):
    topic.config["topic"] = "nowhere"
    with pytest.raises(TargetMissingError, match="no topic 'nowhere'"):
        topic.open()
    *_, last = topic.connect().check()
    assert (last.name, last.status) == ("topic", CheckStatus.FAILED)
    topic.config["create"] = True
    *_, last = topic.connect().check()
    assert (last.status, last.detail) == (CheckStatus.OK, "topic 'nowhere' will be made by the first run")
    topic.config["create"] = False
    *_, last = topic.connect().check()
    assert last.status is CheckStatus.FAILED, "to check makes no topic"


class Admin:
    """Stands in for the client that makes topics, which the mock cluster cannot."""

    asked: ClassVar[list[Any]] = []
    error: ClassVar[int | None] = None

    def __init__(self, config: dict[str, Any]) -> None:
        assert "acks" not in config

    def create_topics(self, topics, request_timeout):
        self.asked.extend(topics)
        return {topic.topic: self for topic in topics}

    def result(self):
        if self.error is not None:
            raise KafkaException(KafkaError(self.error))


@pytest.mark.parametrize("error", [None, KafkaError.TOPIC_ALREADY_EXISTS, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_a_topic_is_made_compacted(topic, monkeypatch, error):
    monkeypatch.setattr(confluent_kafka.admin, "AdminClient", Admin)
    monkeypatch.setattr(Admin, "asked", [])
    monkeypatch.setattr(Admin, "error", error)
    topic.config |= {"topic": "nowhere", "create": True, "partitions": 6}
    if error == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        with pytest.raises(TargetMissingError, match="AUTHORIZATION"):
            topic.open()
    else:
        topic.open().close()
    (made,) = Admin.asked
    assert (made.topic, made.num_partitions, made.replication_factor) == ("nowhere", 6, -1)
    assert made.config == {"cleanup.policy": "compact"}


def test_check_says_what_to_fix(topic):
    assert [(step.name, step.status) for step in topic.connect().check()] == [
        ("reach", CheckStatus.OK),
        ("topic", CheckStatus.OK),
    ]
    topic.config["timeout_seconds"] = 0.5
    for more, name, what in (
        ({"bootstrap_servers": "127.0.0.1:1"}, "reach", "check bootstrap_servers"),
        ({"username": "someone", "password": "s3cret"}, "credentials", "username, password"),
        ({"tls": True}, "reach", "tls"),
        ({"tls": True, "ca_file": "/nowhere/ca.pem"}, "reach", "ca_file"),
    ):
        destination = Sender("kafka", {**topic.config, **more}).connect()
        (step,) = destination.check()
        assert (step.name, step.status) == (name, CheckStatus.FAILED)
        assert what in step.detail
        assert "s3cret" not in step.detail


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"topic": "no topic"}, "letters"),
        ({"username": "someone"}, "go together"),
        ({"username": "someone", "password": "p", "mechanism": "PLAIN"}, "tls: true"),
        ({"ca_file": "ca.pem"}, "tls: true"),
        ({"mechanism": "GSSAPI"}, "SCRAM"),
        ({"partitions": 0}, "greater"),
    ],
)
def test_wrong_settings_are_refused(settings, what):
    with pytest.raises(ConfigError, match=what):
        parse_settings("kafka", {**SETTINGS, **settings})


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigError, match=r"zsync-pipelines\[kafka\]"):
        Sender("kafka", SETTINGS).connect()


def test_topics_are_told_apart_by_name_and_cluster():
    kinds = [{}, {"cluster": "eu"}, {"topic": "others"}]
    settings = [parse_settings("kafka", {**SETTINGS, **more}) for more in kinds]
    sender = Sender("kafka", SETTINGS).connect()
    assert [sender.target(found, "vip") for found in settings] == [
        {"topic": "members"},
        {"cluster": "eu", "topic": "members"},
        {"topic": "others"},
    ]


class Members(Stage):
    """A world whose destination is a topic; `server` is the cluster."""

    def check(self, people):
        assert dict(self.held()) == self.case.should_hold(list(people))


@pytest.fixture
def stage(topic, tmp_path) -> Stage:
    def expected(somebody):
        return str(somebody.id), {"email": somebody.email, "spend": somebody.spend}

    case = ConnectorCase(
        id="kafka",
        type="kafka",
        server=lambda: topic.cluster,
        config=lambda _: topic.config,
        mapping={},
        held=lambda _: topic.held(),
        expected=expected,
        steps=("reach", "topic"),
    )
    world = World(tmp_path)
    topic.config["timeout_seconds"] = 3
    world.config["destinations"]["table"] = {"type": "kafka", "config": topic.config}
    world.sync["field_mapping"] = [{"source_column": n, "destination_field": n} for n in ("email", "spend")]
    world.sync["guard"] = {"max_removed_rows": 100_000, "allow_empty": True}
    return Members(case, world, topic.cluster)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 20))])
def test_any_history_of_faults_then_one_clean_run(stage, seed):
    chance = random.Random(seed)
    faults = [
        DISCONNECT, KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.INVALID_RECORD, KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.REQUEST_TIMED_OUT,
    ]  # fmt: skip
    for last in (False, False, True):
        people = [person(number, chance.randint(0, 2)) for number in range(12) if chance.random() < 0.6]
        stage.people(people)
        stage.server.heal()
        if last:
            stage.world.now = stage.world.now.replace(year=stage.world.now.year + 1)
        else:
            stage.server.fail_next(PRODUCE, [chance.choice(faults) for _ in range(chance.randint(1, 8))])
        run = stage.run()
        assert run.status.is_final
    assert run.status is RunStatus.SUCCESS, run.error
    stage.check(people)
    assert changes(stage.run()) == (0, 0, 0)


@pytest.mark.soak
def test_kill_after_a_batch_was_sent(stage):
    kill_twice(stage, "sent", 1)
