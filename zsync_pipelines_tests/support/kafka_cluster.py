"""A cluster of Kafka brokers that librdkafka mocks, with faults on demand, and an independent reader of topics.

The cluster is librdkafka's own (`rd_kafka_mock_*`), called in the library that `confluent-kafka` brings: its brokers
speak the protocol on loopback. It neither compacts nor authenticates.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import files
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

PRODUCE, METADATA = 0, 3
DISCONNECT = -195
"""Breaks the connection instead of an answer."""
_PRODUCER = 0
_numbers = itertools.count()


@dataclass
class KafkaCluster:
    """`servers`: its bootstrap servers."""

    library: Any = field(repr=False)
    handle: Any = field(repr=False)
    servers: str
    brokers: int
    is_up: bool = True

    def new_topic(self, partitions: int = 3) -> str:
        """A topic of its own."""
        name = f"members{next(_numbers)}"
        self.library.rd_kafka_mock_topic_create(self.handle, name.encode(), partitions, 1)
        return name

    def delete_topic(self, name: str) -> None:
        """Take a topic away: from now on it is unknown."""
        self.fail_topic(name, KafkaError.UNKNOWN_TOPIC_OR_PART)

    def fail_topic(self, name: str, code: int) -> None:
        """Metadata of the topic says this from now on."""
        self.library.rd_kafka_mock_topic_set_error(self.handle, name.encode(), code)

    def fail_next(self, request: int, errors: Sequence[int]) -> None:
        """The next requests of a kind are answered with these errors, whatever the broker."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self.library.rd_kafka_mock_push_request_errors_array(
            self.handle, ctypes.c_int16(request), ctypes.c_size_t(len(errors)), codes
        )

    def heal(self) -> None:
        """Forget faults that have not happened yet, and start all brokers."""
        for request in (PRODUCE, METADATA):
            self.library.rd_kafka_mock_clear_request_errors(self.handle, ctypes.c_int16(request))
        if not self.is_up:
            self.turn(up=True)

    def turn(self, *, up: bool) -> None:
        """Start or stop all brokers."""
        act = self.library.rd_kafka_mock_broker_set_up if up else self.library.rd_kafka_mock_broker_set_down
        for broker in range(1, self.brokers + 1):
            act(self.handle, ctypes.c_int32(broker))
        self.is_up = up

    def records(self, topic: str) -> list[Any]:
        """Every record of a topic, in each partition's order."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": "reader",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
            }
        )
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
            found, left = [], set(partitions)
            while left:
                for message in consumer.consume(1_000, timeout=0.05):
                    error = message.error()
                    if error is None:
                        found.append(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.discard(message.partition())
                    else:
                        raise AssertionError(error)
            return found
        finally:
            consumer.close()

    def compacted(self, topic: str) -> dict[str, bytes]:
        """The last value of each key that is not deleted: what compaction leaves."""
        last = {(message.key() or b"").decode(): message.value() for message in self.records(topic)}
        return {key: value for key, value in last.items() if value is not None}


@contextmanager
def kafka_cluster(brokers: int = 3) -> Iterator[KafkaCluster]:
    """A cluster for as long as the block lasts."""
    library = ctypes.CDLL(_library())
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    reason = ctypes.create_string_buffer(512)
    quiet = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(quiet, b"log_level", b"0", reason, ctypes.c_size_t(512))
    client = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, quiet, reason, ctypes.c_size_t(512)))
    handle = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(client, brokers))
    try:
        servers = library.rd_kafka_mock_cluster_bootstraps(handle).decode()
        yield KafkaCluster(library, handle, servers, brokers)
    finally:
        library.rd_kafka_mock_cluster_destroy(handle)
        library.rd_kafka_destroy(client)


def _library() -> str:
    """librdkafka as the wheel has it, which is loaded already."""
    found = [file for file in files("confluent-kafka") or () if "librdkafka" in file.name]
    return str(found[0].locate())
