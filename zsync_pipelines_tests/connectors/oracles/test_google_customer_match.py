"""Google's own code: the same digests of the same identifiers, and its client drives the stand-in."""

from __future__ import annotations

import polars as pl
import pytest

from zsync_pipelines.destinations.google_customer_match import GoogleCustomerMatchDestination
from zsync_pipelines.engine.membership import prepare
from zsync_pipelines_tests.connectors.cases.google_customer_match import CASES, digest
from zsync_pipelines_tests.support.vendors.google import ACCOUNT

util = pytest.importorskip("google.ads.datamanager_util")
datamanager = pytest.importorskip("google.ads.datamanager_v1")
pytestmark = pytest.mark.oracle

SPECS = GoogleCustomerMatchDestination.capabilities.fields
EMAILS = [
    "Ann@Example.ORG", "  ann@example.org\t", "a.n.n+tag@gmail.com", "A.N.N@GoogleMail.com", "a.b+c@example.org",
    "zoë@example.org", "o'neill@sub.example.co.uk", "ann+@gmail.com", "ÉCLAIR@EXAMPLE.FR",
]  # fmt: skip
NAMES = ["Ann", " ann ", "Zoë", "O'Neill", "Jean-Luc", "ÅSA", "李", "de la Cruz", "İpek"]
PHONES = ["+1 (650) 253-0000", "+16502530000", "+44 20 7031 3000", "+49 30 303986300", "+81 3-6384-9000"]


def ours(field: str, texts: list[str]) -> list[str]:
    frame = prepare(pl.DataFrame({"entity_key": texts, f"f:{field}": texts}), {field: SPECS[field]})
    return frame[f"f:{field}"].to_list()


@pytest.mark.parametrize(
    ("field", "texts", "name"),
    [
        ("email", EMAILS, "process_email_address"),
        ("given_name", NAMES, "process_given_name"),
        ("family_name", NAMES, "process_family_name"),
        ("phone", PHONES, "process_phone_number"),
    ],
)
def test_the_same_digests(field, texts, name):
    process = getattr(util.Formatter(), name)
    assert ours(field, texts) == [process(text, util.Encoding.HEX) for text in texts]


@pytest.mark.parametrize(
    ("field", "texts", "name"),
    [
        ("region_code", ["us", " US ", "De"], "process_region_code"),
        ("postal_code", ["94043", " SW1A 1AA ", "10115"], "process_postal_code"),
    ],
)
def test_the_same_texts(field, texts, name):
    process = getattr(util.Formatter(), name)
    assert ours(field, texts) == [process(text) for text in texts]


@pytest.fixture
def server():
    with CASES[0].server().running() as found:
        found.issued = "by-hand"
        yield found


@pytest.fixture
def transport(server):
    from google.oauth2.credentials import Credentials

    def made(kind):
        return kind(host=server.url.removeprefix("http://"), credentials=Credentials("by-hand"), url_scheme="http")

    return made


def _destination(list_id="71"):
    account = datamanager.ProductAccount(
        account_type=datamanager.ProductAccount.AccountType.GOOGLE_ADS, account_id=ACCOUNT
    )
    return datamanager.Destination(operating_account=account, product_destination_id=list_id)


def _member(email):
    identifier = datamanager.UserIdentifier(email_address=email)
    return datamanager.AudienceMember(user_data=datamanager.UserData(user_identifiers=[identifier]))


def _ingest(members, **more):
    granted = datamanager.ConsentStatus.CONSENT_GRANTED
    accepted = datamanager.TermsOfServiceStatus.ACCEPTED
    return datamanager.IngestAudienceMembersRequest(
        destinations=[_destination()],
        audience_members=members,
        consent=datamanager.Consent(ad_user_data=granted, ad_personalization=granted),
        encoding=datamanager.Encoding.HEX,
        terms_of_service=datamanager.TermsOfService(customer_match_terms_of_service_status=accepted),
        **more,
    )


def test_googles_client_puts_members_on_the_list_and_takes_them_off(server, transport):
    from google.ads.datamanager_v1.services.ingestion_service.transports.rest import IngestionServiceRestTransport

    client = datamanager.IngestionServiceClient(transport=transport(IngestionServiceRestTransport))
    status = datamanager.RequestStatusPerDestination.RequestStatus
    people = [digest(name) for name in ("ann", "bob")]

    def told(number):
        asked = datamanager.RetrieveRequestStatusRequest(request_id=number)
        (found,) = client.retrieve_request_status(asked).request_status_per_destination
        return found

    server.late_fault = lambda identity: "UNKNOWN_CONSENT" if identity == people[1] else None
    number = client.ingest_audience_members(_ingest([_member(each) for each in people])).request_id
    assert told(number).request_status == status.PROCESSING
    verdict = told(number)
    assert verdict.request_status == status.PARTIAL_SUCCESS
    assert verdict.audience_members_ingestion_status.user_data_ingestion_status.record_count == 2
    (count,) = verdict.error_info.error_counts
    assert (count.record_count, count.reason.name) == (1, "PROCESSING_ERROR_REASON_UNKNOWN_CONSENT")
    assert server.held["71"].keys() == {people[0]}

    removal = datamanager.RemoveAudienceMembersRequest(
        destinations=[_destination()], audience_members=[_member(people[0])], encoding=datamanager.Encoding.HEX
    )
    server.polls = 0
    assert told(client.remove_audience_members(removal).request_id).request_status == status.SUCCESS
    assert not server.held["71"]


def test_googles_client_reads_the_stand_ins_refusals(transport):
    from google.ads.datamanager_v1.services.ingestion_service.transports.rest import IngestionServiceRestTransport
    from google.api_core.exceptions import BadRequest

    client = datamanager.IngestionServiceClient(transport=transport(IngestionServiceRestTransport))
    with pytest.raises(BadRequest) as refusal:
        client.ingest_audience_members(_ingest([_member(digest("ann")), _member("no digest")]))
    info, bad = refusal.value.details
    assert info["reason"] == "INVALID_ARGUMENT"
    fields = [violation["field"] for violation in bad["fieldViolations"]]
    assert fields == ["audience_members.audience_members[1].user_data.user_identifiers"]
    assert not client.ingest_audience_members(_ingest([_member(digest("ann"))], validate_only=True)).request_id


def test_googles_client_lists_and_makes_lists(server, transport):
    from google.ads.datamanager_v1.services.user_list_service.transports.rest import UserListServiceRestTransport

    client = datamanager.UserListServiceClient(transport=transport(UserListServiceRestTransport))
    parent = f"accountTypes/GOOGLE_ADS/accounts/{ACCOUNT}"
    for name in ("A", "B", "C"):
        server.add_list(name)
    assert [each.display_name for each in client.list_user_lists(parent=parent)] == ["VIP", "A", "B", "C"]
    asked = datamanager.ListUserListsRequest(parent=parent, filter='display_name = "B"')
    (found,) = client.list_user_lists(asked)
    assert client.get_user_list(name=found.name).id == found.id
    contact = datamanager.IngestedUserListInfo.UploadKeyType.CONTACT_ID
    info = datamanager.IngestedUserListInfo(upload_key_types=[contact])
    made = datamanager.UserList(
        display_name="Spring", ingested_user_list_info=info, membership_duration={"seconds": 30 * 86_400}
    )
    assert client.create_user_list(parent=parent, user_list=made).display_name == "Spring"


def test_every_field_that_the_connector_sends_is_one_of_googles(server):
    """Google's client takes the connector's own JSON: each name and value is one that it knows."""
    from google.protobuf import json_format

    from zsync_pipelines.destinations.registry import connector, parse_settings
    from zsync_pipelines.domain.delivery import Op

    server.issued = ""
    config = CASES[0].config(server) | {"login_account_id": "1"}
    destination = connector("google_customer_match")(parse_settings("google_customer_match", config))
    values = {"email": digest("a"), "phone": digest("b"), "given_name": digest("c"), "family_name": digest("d")}
    from zsync_pipelines.destinations.google_customer_match import _member as made

    member = made({**values, "region_code": "US", "postal_code": "1"})
    assert destination._ingest(Op.ADD, [member]).ok
    assert destination._ingest(Op.REMOVE, [member]).ok
    assert destination.create_list("Made")
    bodies = [call.body for call in server.calls if call.method == "POST" and call.body]
    kinds = (datamanager.IngestAudienceMembersRequest, datamanager.RemoveAudienceMembersRequest, datamanager.UserList)
    for body, kind in zip(bodies, kinds, strict=True):
        read = json_format.ParseDict(body, kind.pb()())  # an unknown name or value is an error
        assert json_format.MessageToDict(read, preserving_proto_field_name=False) == body
    destination.close()
