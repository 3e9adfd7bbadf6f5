"""The `kafka` destination: one record per member, by key; a tombstone takes a member out. Needs the extra `kafka`.

A compacted topic holds the audience: the last record of each key, but for tombstones. The key is the entity key's
canonical text and the value a JSON object of the fields; headers say which sync, run, operation and batch a record is
of. What the brokers do not confirm is sent again; the same record twice is the same.

| fact | source |
|---|---|
| 1,000,000 bytes a record | librdkafka's `message.max.bytes`; by default brokers take 1,048,588 (`max.message.bytes`) |
| up to 5 requests in flight keep their order | `enable.idempotence`, documentation of Kafka and of librdkafka |
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import polars as pl

from zsync_pipelines.destinations.json_rows import json_object, json_value
from zsync_pipelines.destinations.kafka_client import ADVICE, KafkaClient, KafkaSettings, library
from zsync_pipelines.domain.capabilities import Capabilities
from zsync_pipelines.domain.delivery import FIELD_PREFIX, Batch, Op, Receipt, Rejection
from zsync_pipelines.domain.destination import About, CheckStatus, CheckStep, Destination, SyncShape
from zsync_pipelines.errors import CredentialsError, OutcomeUnknownError, TargetMissingError, ZsyncError

_REFUSED = {"MSG_SIZE_TOO_LARGE", "INVALID_MSG", "INVALID_MSG_SIZE", "INVALID_RECORD"}
"""Something is wrong with a record."""
_FORBIDDEN = {"TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"}


class KafkaDestination(Destination[KafkaSettings]):
    """Produces keyed records; removes are tombstones."""

    type: ClassVar[str] = "kafka"
    settings_type = KafkaSettings
    capabilities: ClassVar[Capabilities] = Capabilities(operations=frozenset(Op), max_batch_rows=10_000)
    about: ClassVar[About] = About(
        label="Kafka",
        advice=ADVICE,
        docs="https://kafka.apache.org/documentation/",
        members="record in a compacted topic",
        fields="any, as JSON",
        tested="the mock cluster of librdkafka",
    )

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(settings)
        self._client = KafkaClient(settings)

    @classmethod
    def limits(cls, settings: KafkaSettings) -> Capabilities:
        return replace(cls.capabilities, timeout_seconds=settings.timeout_seconds)

    @classmethod
    def target(cls, settings: KafkaSettings, sync_id: str) -> Mapping[str, str]:
        return {**({"cluster": settings.cluster} if settings.cluster else {}), "topic": settings.topic}

    def check(self) -> Iterator[CheckStep]:
        try:
            partitions = self._client.partitions()
        except ZsyncError as error:
            name = "credentials" if isinstance(error, CredentialsError) else "reach"
            yield CheckStep(name, CheckStatus.FAILED, str(error))
            return
        yield CheckStep("reach", CheckStatus.OK, "a broker answers")
        name = self.settings.topic
        if partitions:
            yield CheckStep("topic", CheckStatus.OK, f"topic '{name}' with {partitions} partitions")
        elif self.settings.create:
            yield CheckStep("topic", CheckStatus.OK, f"topic '{name}' will be made by the first run")
        else:
            yield CheckStep("topic", CheckStatus.FAILED, str(self._missing()))

    def open(self, shape: SyncShape, run_id: str) -> None:
        """See that the topic is there, or make it."""
        if not self._client.partitions():
            if not self.settings.create:
                raise self._missing()
            self._client.create()

    def send(self, batch: Batch) -> Receipt:
        refused: dict[str, str] = {}
        failed: list[Any] = []
        try:
            self._produce(batch, refused, failed)
        except BaseException:
            self._client.give_up()
            raise
        codes = {error.name() for error in failed}
        if not failed:
            return batch.accept_except(Rejection(key, reason) for key, reason in refused.items())
        if codes <= _REFUSED:  # a broker refuses all records of a request for the sake of one
            reason = failed[0].str()
            return batch.reject_some(reason) if len(batch) > 1 else batch.reject_all(reason)
        self._client.give_up()
        if codes <= _FORBIDDEN and len(failed) + len(refused) == len(batch):  # else some of it may be there
            raise CredentialsError(f"Kafka forbids to write to '{self.settings.topic}': give the user that permission")
        raise OutcomeUnknownError(f"{len(failed)} of {len(batch)} records were not confirmed ({min(codes - _REFUSED)})")

    def close(self) -> None:
        self._client.give_up()

    def _produce(self, batch: Batch, refused: dict[str, str], failed: list[Any]) -> None:
        """Produce the batch and wait for the brokers' reports. `refused`: reasons by key of what is not even sent;
        `failed`: errors of what was."""
        deadline = time.monotonic() + self.settings.timeout_seconds
        kafka, producer, topic = library(), self._client.producer(), self.settings.topic
        headers: list[tuple[str, str | bytes | None]] = [
            ("zsync-sync-id", batch.sync_id),
            ("zsync-run-id", batch.run_id),
            ("zsync-operation", batch.op.value),
            ("zsync-idempotency-key", batch.idempotency_key),
        ]

        def report(error: Any, _: Any) -> None:
            if error is not None:
                failed.append(error)

        for key, value in zip(batch.keys.to_pylist(), _values(batch), strict=True):
            while True:
                try:
                    producer.produce(topic, value, key.encode(), headers=headers, on_delivery=report)
                except BufferError:  # the queue is full
                    if time.monotonic() > deadline:
                        raise OutcomeUnknownError("the brokers take records too slowly") from None
                    producer.poll(0.1)
                    continue
                except kafka.KafkaException as error:
                    if error.args[0].name() not in _REFUSED:
                        raise OutcomeUnknownError(f"no record can be sent ({error.args[0].name()})") from None
                    refused[key] = error.args[0].str()
                break
        if producer.flush(max(deadline - time.monotonic(), 0.1)):
            raise OutcomeUnknownError("not every record was confirmed in time")

    def _missing(self) -> TargetMissingError:
        return TargetMissingError(f"Kafka has no topic '{self.settings.topic}': make it (compacted), or set create")


def _values(batch: Batch) -> list[bytes | None]:
    """A JSON object per row; nothing for a tombstone."""
    if batch.op is Op.REMOVE:
        return [None] * len(batch)
    if not batch.fields:
        return [b"{}"] * len(batch)
    frame = pl.DataFrame(batch.table.select([FIELD_PREFIX + name for name in batch.fields]))
    tokens = [json_value(pl.col(name), dtype) for name, dtype in frame.schema.items()]
    texts = frame.select(json_object(batch.fields, tokens)).to_series()
    return [text.encode() for text in texts]
