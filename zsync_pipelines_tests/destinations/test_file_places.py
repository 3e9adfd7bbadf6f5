"""Which place a URL names: what is refused, what a target says, and what never holds a secret. Nothing connects."""

from __future__ import annotations

import subprocess
import sys
import traceback

import pytest

from zsync_pipelines.destinations.file import FileDestination, FileSettings
from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.errors import ConfigError, CredentialsError, TargetMissingError, UnreachableError
from zsync_pipelines_tests.support.object_server import DROP_BEFORE, PASS, proxy, refusal

SECRET = "pl4nted-s3cret"
AZURE = {"account_name": "shop", "account_key": "c2VjcmV0", "allow_http": True}


def target(url, **options):
    found = dict(FileDestination.target(FileSettings(url=url, options=options), "vips"))
    assert {name: found.pop(name) for name in ("folder", "layout", "format")} == {
        "folder": "vips",
        "layout": "deltas",
        "format": "csv",
    }
    return found


def problems(url, **options):
    with pytest.raises(ConfigError) as failure:
        parse_settings("file", {"url": url, "options": options})
    assert SECRET not in "".join(traceback.format_exception(failure.value))
    return {problem.path: problem.message for problem in failure.value.problems}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket", "s3://bucket"),
        ("S3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("gs://bucket/a", "gs://bucket/a"),
        ("az://box/a", "az://box/a"),
        ("sftp://me:pl4nted-s3cret@Host.example.org/out/", "sftp://host.example.org:22/out"),
        ("sftp://me@host:2222/~/out", "sftp://host:2222/~/out"),
        ("sftp://me@[::1]/out", "sftp://[::1]:22/out"),
        ("sftp://host/a%20b", "sftp://host:22/a b"),
        # References that are not resolved yet.
        ("s3://${BUCKET}/a", "s3://${BUCKET}/a"),
        ("s3://me:pl4nted-s3cret@${BUCKET}/a?k=pl4nted-s3cret", "s3://${BUCKET}/a"),
        ("sftp://me:${PW}@host/out", "sftp://host:22/out"),
        ("sftp://me:pl4nted-s3cret@host:${PORT}/out", "sftp://host:${PORT}/out"),
        ("sftp://me:x#pl4nted-s3cret/y?@host:${PORT}/out", "sftp://host:${PORT}/out"),
        ("${URL}", "${URL}"),
    ],
)
def test_targets(url, shown):
    assert target(url) == {"url": shown}


def test_two_users_of_one_folder_write_to_the_same_target():
    assert target("sftp://me:a@host/out") == target("sftp://you@HOST:22/out/", password=SECRET)


def test_an_endpoint_and_an_account_tell_buckets_apart():
    keys = {"access_key_id": SECRET, "aws_secret_access_key": SECRET}
    for name in ("endpoint", "aws_endpoint", "AWS_ENDPOINT_URL", "aws_endpoint_url_s3"):
        found = target("s3://bucket", **{name: "https://minio.example.org:9000/"}, **keys)
        assert found == {"url": "s3://bucket", "endpoint": "https://minio.example.org:9000"}
    assert target("gs://bucket", google_base_url="https://g.example.org")["base_url"] == "https://g.example.org"
    for name in ("account_name", "azure_storage_account_name"):
        assert target("az://box", **{name: "shop", "account_key": SECRET}) == {
            "url": "az://box",
            "account_name": "shop",
        }
    assert target("s3://bucket", endpoint="${HOST}") == {"url": "s3://bucket", "endpoint": "${HOST}"}


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (
            "ftp://host/x",
            "ftp:// is not known; use the path of a folder, or one of file://, s3://, gs://, az://, sftp://",
        ),
        ("abfs://x", "not known"),
        ("s3://", "must be s3://bucket/prefix"),
        ("s3:///x", "must be s3://bucket/prefix"),
        ("s3://key:pl4nted-s3cret@bucket/x", "belong in `options`"),
        ("s3://host:9000/bucket", "belong in `options`"),
        ("s3://bucket/x?key=pl4nted-s3cret", "no '?'"),
        ("s3://bucket/a//b", "no part that is empty"),
        ("gs://bucket/../b", "no part that is empty"),
        ("sftp://", "must be sftp://"),
        ("sftp://host", "must name a folder"),
        ("sftp://host/a/../b", "must name a folder"),
        ("sftp://me:pl4nted-s3cret/x@host/out", "special characters as %XX"),
        ("sftp://me:pl4nted-s3cret#@host/out", "special characters as %XX"),
        ("sftp://me@host/out?pl4nted-s3cret", "special characters as %XX"),
        ("sftp://me@host:99999/out", "special characters as %XX"),
        ("sftp://me@[::1/out", "special characters as %XX"),
    ],
)
def test_urls_that_name_no_place(url, text):
    found = problems(url)
    assert set(found) == {"url"}
    assert text in found["url"]


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("/data", {"password": SECRET}, "a folder takes no options"),
        ("file:///data", {"password": SECRET}, "a folder takes no options"),
        ("sftp://host/x", {"pasword": SECRET}, "there is no option 'pasword' for this url (did you mean 'password'?)"),
        ("sftp://host/x", {"private_key": SECRET, "private_key_file": SECRET}, "not both"),
        ("sftp://me:pl4nted-s3cret@host/x", {"password": SECRET}, "give it once"),
        ("s3://bucket", {"endpoint": f"minio {SECRET}"}, "endpoint must be https://host"),
        ("s3://bucket", {"endpoint": f"https://me:{SECRET}@host"}, "endpoint must be https://host"),
        ("s3://bucket", {"aws_endpoint": "http://host:9000"}, "`allow_http: true`"),
        ("gs://bucket", {"base_url": "http://host:9000"}, "`allow_http: true`"),
        ("az://box", {"azure_storage_endpoint": "http://host:9000"}, "`allow_http: true`"),
        ("s3://bucket", {"secret_access_key": SECRET}, "together, or neither"),
    ],
)
def test_options_that_do_not_fit(url, options, text):
    found = problems(url, **options)
    assert set(found) == {"options"}
    assert text in found["options"]


def test_a_url_that_is_not_resolved_takes_any_options():
    for url in ("${URL}", "sftp://${HOST}:${PORT}/x", "sftp://me@${HOST}/x"):
        FileSettings(url=url, options={"password": "${PW}"})
    FileSettings(
        url="s3://${BUCKET}", options={"endpoint": "${ENDPOINT}", "access_key_id": "${A}", "secret_access_key": "${B}"}
    )


def test_options_of_yaml_are_taken_as_text():
    options = FileSettings(url="s3://b", options={"allow_http": True, "disable_tagging": False, "x": 5}).options
    assert {n: v.get_secret_value() for n, v in options.items()} == {
        "allow_http": "true",
        "disable_tagging": "false",
        "x": "5",
    }


def test_settings_and_connectors_show_no_secret():
    for url, options in {
        f"sftp://me:{SECRET}@host/x": {"private_key": SECRET, "passphrase": SECRET},
        "s3://bucket": {"access_key_id": SECRET, "secret_access_key": SECRET, "token": SECRET},
        "az://box": {"account_name": "shop", "account_key": SECRET},
        "gs://bucket": {"service_account_key": SECRET},
    }.items():
        settings = parse_settings("file", {"url": url, "options": options})
        out = connector("file")(settings)
        texts = [repr(settings), str(settings), settings.model_dump_json(), repr(out), str(out.target(settings, "v"))]
        assert not [text for text in texts if SECRET in text]


def test_wrong_names_and_values_for_azure_and_google():
    for url, options, text in (
        ("az://box", {"account_key": SECRET}, "Account must be specified"),
        ("az://box", {"account_name": "shop", "account_key": f"{SECRET}!"}, "Invalid Access Key"),
        ("az://box", {**AZURE, "acount": SECRET}, "no option 'acount'"),
        ("gs://bucket", {"service_account_key": SECRET}, "credential error"),
        ("gs://bucket", {"bearer": SECRET}, "no option 'bearer'"),
    ):
        out = FileDestination(FileSettings(url=url, options=options))
        with pytest.raises(ConfigError, match=text) as failure:
            list(out.check())
        assert SECRET not in "".join(traceback.format_exception(failure.value))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(403, "AuthorizationFailure"), CredentialsError),
        (refusal(404, "ContainerNotFound"), TargetMissingError),
        (refusal(503, "ServerBusy"), UnreachableError),
        (DROP_BEFORE, UnreachableError),
    ],
    ids=["403", "404", "503", "dropped"],
)
def test_azure_is_asked_with_its_own_signature(objects, answer, kind):
    """There is no server of Azure's here: this is what it would be asked, and what its refusals mean."""
    with proxy(objects.endpoint) as through:
        through.judge = lambda _: answer
        out = FileDestination(FileSettings(url="az://box/a", options={**AZURE, "endpoint": through.endpoint}))
        (*_, failed) = out.check()
        names = {UnreachableError: "reach", CredentialsError: "credentials", TargetMissingError: "container"}
        assert failed.name == names[kind]
        through.judge = lambda _: PASS
        assert "GET /box?restype=container&comp=list&prefix=a%2F" in through.heads[0]
        assert "authorization: SharedKey shop:" in through.heads[0]


def test_the_libraries_of_places_are_imported_only_when_they_are_used():
    code = (
        "import sys; from zsync_pipelines.destinations.registry import connector, parse_settings\n"
        "for url in ('/x', 's3://b', 'sftp://h/x'): connector('file')(parse_settings('file', {'url': url}))\n"
        "sys.exit(bool({'obstore', 'asyncssh'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
