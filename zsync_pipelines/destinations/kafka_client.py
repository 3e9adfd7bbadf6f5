"""Kafka's client, librdkafka through confluent-kafka: settings, topics, and a producer that can be given up.

It is loaded when it is needed (50 ms); without the extra `kafka` it is a ConfigError.
"""

from __future__ import annotations

import logging
import re
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic.functional_validators import AfterValidator

from zsync_pipelines.domain.destination import DestinationSettings
from zsync_pipelines.errors import ConfigError, CredentialsError, TargetMissingError, UnreachableError

if TYPE_CHECKING:
    from confluent_kafka import Producer

ADVICE = "check username, password and mechanism"
_log = logging.getLogger("zsync.kafka")
_DENIED = {"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "ILLEGAL_SASL_STATE", "UNSUPPORTED_SASL_MECHANISM"}


def _topic(value: str) -> str:
    if "${" not in value and not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", value):
        raise ValueError("must be 1 to 249 letters, digits, dots, dashes and underscores")
    return value


class KafkaSettings(DestinationSettings):
    """`cluster`: any name, to tell topics of the same name in several clusters apart. `create`: the topic is made if
    it is missing, compacted, with so many `partitions` and `replication` (none: as the brokers have it)."""

    bootstrap_servers: str = Field(min_length=1)
    topic: Annotated[str, AfterValidator(_topic)]
    cluster: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    tls: bool = False
    ca_file: str | None = None
    create: bool = False
    partitions: int | None = Field(default=None, ge=1)
    replication: int | None = Field(default=None, ge=1)
    timeout_seconds: float = Field(default=30, ge=0.1, le=600)

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.username is not None and self.mechanism == "PLAIN" and not self.tls:
            raise ValueError("mechanism PLAIN sends the password as it is: set tls: true")
        if self.ca_file is not None and not self.tls:
            raise ValueError("ca_file needs tls: true")
        return self


def library() -> ModuleType:
    """confluent-kafka."""
    try:
        return import_module("confluent_kafka")
    except ModuleNotFoundError:
        raise ConfigError("confluent-kafka is not installed; pip install 'zsync-pipelines[kafka]'") from None


class KafkaClient:
    """The client of one connector, whose producer is made when it is first needed."""

    def __init__(self, settings: KafkaSettings) -> None:
        library()
        self._settings = settings
        self._faults: set[str] = set()
        self._producer: Producer | None = None

    def producer(self) -> Producer:
        """An idempotent producer that waits for all in-sync replicas. The partitioner is that of Java's client, so that
        a key's records are where other producers put them."""
        if self._producer is None:
            kafka = library()
            try:
                self._producer = kafka.Producer(self.config())
            except kafka.KafkaException as error:
                name = error.args[0].name()
                raise ConfigError(f"Kafka's client does not take these settings ({name}); check ca_file") from None
        return self._producer

    def give_up(self) -> None:
        """Give up the producer and all that it holds, so that nothing is sent later."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None

    def partitions(self) -> int:
        """How many partitions the topic has; 0 if there is none. All topics are asked for: brokers may make one that is
        asked for by name. CredentialsError or UnreachableError if no broker tells."""
        kafka, producer, settings = library(), self.producer(), self._settings
        try:
            found = producer.list_topics(timeout=settings.timeout_seconds).topics.get(settings.topic)
        except kafka.KafkaException as error:
            producer.poll(0)
            name = error.args[0].name()
            if _DENIED & {name, *self._faults}:
                raise CredentialsError(f"Kafka refused the credentials: {ADVICE}") from None
            raise UnreachableError(f"no answer from Kafka ({name}): check bootstrap_servers and tls") from None
        return len(found.partitions) if found is not None and found.error is None else 0

    def create(self) -> None:
        """Make the topic, compacted."""
        kafka, admin = library(), import_module("confluent_kafka.admin")
        name, settings = self._settings.topic, self._settings
        topic = admin.NewTopic(
            name,
            num_partitions=settings.partitions or -1,
            replication_factor=settings.replication or -1,
            config={"cleanup.policy": "compact"},
        )
        made = admin.AdminClient(self._connection()).create_topics([topic], request_timeout=settings.timeout_seconds)
        try:
            made[name].result()
        except kafka.KafkaException as error:
            reason = error.args[0].name()
            if reason != "TOPIC_ALREADY_EXISTS":
                raise TargetMissingError(f"Kafka has no topic '{name}', and it cannot be made ({reason})") from None

    def config(self) -> dict[str, Any]:
        """A producer's configuration, as librdkafka has it."""
        return self._connection() | {
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "message.timeout.ms": int(self._settings.timeout_seconds * 1000),
        }

    def _connection(self) -> dict[str, Any]:
        settings = self._settings
        config: dict[str, Any] = {
            "bootstrap.servers": settings.bootstrap_servers,
            "client.id": "zsync",
            "logger": _log,
            "log_level": 2,  # what matters is raised
            "error_cb": lambda error: self._faults.add(error.name()),
        }
        protocol = "SSL" if settings.tls else "PLAINTEXT"
        if settings.username is not None and settings.password is not None:
            protocol = f"SASL_{protocol}"
            config |= {
                "sasl.mechanism": settings.mechanism,
                "sasl.username": settings.username,
                "sasl.password": settings.password.get_secret_value(),
            }
        trusted = {"ssl.ca.location": settings.ca_file} if settings.ca_file else {}
        return config | trusted | {"security.protocol": protocol}
