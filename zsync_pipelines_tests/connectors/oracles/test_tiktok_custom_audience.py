"""TikTok's own SDK reads audiences from the same stand-in. It knows neither the streaming calls nor how to hash."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from zsync_pipelines_tests.support.vendors.tiktok import Audience, TikTok

pytestmark = pytest.mark.oracle
business = pytest.importorskip("business_api_client")


@pytest.fixture
def sdk():
    with TikTok(page=2).running() as server:
        configuration = business.Configuration()
        configuration.host = server.url
        api = business.AudienceApi(business.ApiClient(configuration))
        yield SimpleNamespace(server=server, api=api, token=server.token)


def test_the_sdk_lists_audiences_page_by_page(sdk):
    for number in range(8002, 8004):
        sdk.server.audiences[str(number)] = Audience(f"list {number}")
    names, page, pages = [], 1, 1
    while page <= pages:
        found = sdk.api.dmp_custom_audience_list("66", sdk.token, page=page, page_size=2)["data"]
        names += [audience["name"] for audience in found["list"]]
        page, pages = page + 1, found["page_info"]["total_page"]
    assert names == ["VIP", "list 8002", "list 8003"]


def test_the_sdk_reads_an_audiences_details(sdk):
    found = sdk.api.dmp_custom_audience_get("66", ["8001"], sdk.token)["data"]
    assert found["list"][0]["audience_details"]["name"] == "VIP"


def test_the_sdk_takes_the_stand_ins_codes_for_tiktoks(sdk):
    with pytest.raises(Exception) as failure:  # the SDK's class depends on its version
        sdk.api.dmp_custom_audience_get("66", ["8001"], "another")
    assert "40105" in str(failure.value)
