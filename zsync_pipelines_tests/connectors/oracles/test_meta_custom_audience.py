"""Meta's own SDK: the same digests from the same values, and a client that drives the same stand-in.

Where it differs from Meta's documentation on purpose is listed: the connector follows the documentation there.
"""

from __future__ import annotations

import polars as pl
import pytest

from zsync_pipelines.destinations.kit.normalise import EMPTY_DIGEST
from zsync_pipelines.destinations.meta_custom_audience import MetaDestination
from zsync_pipelines.domain.capabilities import FieldSpec
from zsync_pipelines.engine.membership import prepare
from zsync_pipelines_tests.support.vendors.meta import Audience, Meta

pytestmark = pytest.mark.oracle
business = pytest.importorskip("facebook_business")

VALUES = {
    "EMAIL": ["Ann@Example.org", " bob@example.org\t", "a.b+c@gmail.com"],
    "PHONE": ["+1 (650) 253-0000", "+44 20 7946 0018", "+49 89 1234567"],
    "FN": ["Ann", " Mary-Ann ", "O'Neill", "J.R."],
    "LN": ["Smith", "van der Berg", "Smith 3rd"],
    "CT": ["New York", "St. Louis", "München"],
    "ST": ["CA", " ny", "New South Wales"],
    "ZIP": ["94043", "94043-1351", " 10115 "],
    "COUNTRY": ["US", " de"],
    "GEN": ["m", "Female", "MALE"],
    "DOBY": ["1985", " 2001 "],
    "DOBM": ["7", "07", "12"],
    "DOBD": ["1", "31"],
    "EXTERN_ID": ["a-7", "12345"],
}


def theirs(field: str, values: list[str]) -> list[str]:
    from facebook_business.adobjects.customaudience import CustomAudience

    params = CustomAudience.format_params([field], [[value] for value in values], is_raw=True)
    return [row[0] for row in params["payload"]["data"]]


def ours(field: str, values: list[str]) -> list[str | None]:
    spec: FieldSpec = (MetaDestination.capabilities.fields or {})[field]
    return prepare(pl.DataFrame({f"f:{field}": values}), {field: spec})[f"f:{field}"].to_list()


@pytest.mark.parametrize("field", VALUES)
def test_the_same_digests(field):
    assert ours(field, VALUES[field]) == theirs(field, VALUES[field])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("FN", "Zoë"),  # the SDK drops what is beyond a-z
        ("MADID", "aece52e7-03ee-455a-b3c4-e57283966239"),  # the SDK hashes it
        ("COUNTRY", "Germany"),  # the SDK makes `ge` of it, which is Georgia
        ("PHONE", "0044 20 7946 0018"),  # the SDK keeps leading zeros
        ("ZIP", "SW1A 1AA"),  # the SDK keeps the space
    ],
)
def test_where_the_sdk_differs_from_the_documentation(field, value):
    assert ours(field, [value]) != theirs(field, [value])


def test_a_key_without_a_letter_is_the_digest_of_nothing():
    assert ours("FN", ["..."]) == theirs("FN", ["..."]) == [EMPTY_DIGEST]


@pytest.fixture
def sdk(monkeypatch):
    from facebook_business.api import FacebookAdsApi
    from facebook_business.session import FacebookSession

    with Meta().running() as server:
        monkeypatch.setattr(FacebookSession, "GRAPH", server.url)
        FacebookAdsApi.init(access_token=server.token, crash_log=False)
        yield server


def test_the_sdk_puts_people_into_the_stand_in_and_takes_them_out(sdk):
    from facebook_business.adobjects.customaudience import CustomAudience

    audience = CustomAudience("7001")
    schema, people = ["EMAIL", "FN"], [["ann@example.org", "Ann"], ["bob@example.org", "Bob"]]
    answer = audience.add_users(schema, people, is_raw=True).json()
    assert (answer["num_received"], answer["num_invalid_entries"]) == (2, 0)
    held = [tuple(row.values()) for row in sdk.audiences["7001"].people.values()]
    assert held == list(zip(ours("EMAIL", [p[0] for p in people]), ours("FN", ["Ann", "Bob"]), strict=True))
    audience.remove_users(schema, people[:1], is_raw=True)
    assert len(sdk.audiences["7001"].people) == 1


def test_the_sdk_makes_lists_and_reads_audiences(sdk):
    from facebook_business.adobjects.adaccount import AdAccount

    for number in range(7002, 7005):
        sdk.audiences[str(number)] = Audience(f"list {number}")
    account = AdAccount("act_55")
    made = account.create_custom_audience(
        params={"name": "Made", "subtype": "CUSTOM", "customer_file_source": "USER_PROVIDED_ONLY"}
    )
    assert sdk.audiences[made["id"]].name == "Made"
    names = [found["name"] for found in account.get_custom_audiences(fields=["name", "subtype"])]
    assert names == ["VIP", "list 7002", "list 7003", "list 7004", "Made"]


def test_the_sdk_takes_the_stand_ins_errors_for_metas(sdk):
    from facebook_business.adobjects.customaudience import CustomAudience
    from facebook_business.exceptions import FacebookRequestError

    sdk.token = "another"
    with pytest.raises(FacebookRequestError) as failure:
        CustomAudience("7001").api_get(fields=["name"])
    assert (failure.value.api_error_code(), failure.value.api_error_subcode()) == (190, 463)
