"""What image-push understands; tests/image/test_push.py pushes."""

import pytest

from push import Destination, check_options, destination, explained, messages
from stored import ImageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("registry.example/team/dagma", ("registry.example", "/team/dagma", None)),
        ("registry.example:5000/dagma:1.0", ("registry.example:5000", "/dagma", "1.0")),
        ("localhost/dagma:x", ("localhost", "/dagma", "x")),
        ("localhost:5000", ("localhost:5000", "", None)),
        ("[::1]:5000/dagma", ("[::1]:5000", "/dagma", None)),
    ],
)
def test_a_destination_is_a_registry_a_prefix_and_a_tag(text, expected):
    assert destination(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "dagma",
        "team/dagma",
        "docker://registry.example/x",
        "https://registry.example/x",
        "",
        "r.example/X",
        "r.example/x:",
        "r.example/x:a b",
        "r.example//x",
    ],
)
def test_what_is_no_destination_is_refused(text):
    with pytest.raises(ImageError, match="REGISTRY/PREFIX"):
        destination(text)


def test_the_tag_is_the_version_unless_one_is_given():
    assert Destination("r.example", "/x", None).name("web", "1.2") == "r.example/x/web:1.2"
    assert Destination("r.example", "/x", "rc").name("web", "1.2") == "r.example/x/web:rc"


@pytest.mark.parametrize(
    "option", ["--dest-creds=a:b", "--dest-password", "--dest-registry-token=x"]
)
def test_credentials_are_refused(option):
    with pytest.raises(ImageError, match="skopeo login") as error:
        check_options([option])
    assert "a:b" not in str(error.value)


def test_words_among_the_options_are_refused():
    with pytest.raises(ImageError, match="--name=value"):
        check_options(["--authfile", "file"])


def test_other_options_are_skopeos():
    check_options(["--dest-tls-verify=false", "--retry-times=3"])


def test_the_log_of_skopeo_is_read():
    lines = [
        "Copying blob sha256:1",
        'time="2026-01-01T00:00:00Z" level=debug msg="GET \\"x\\""',
        'time="2026-01-01T00:00:00Z" level=fatal msg=short',
    ]
    assert list(messages(lines)) == [("debug", 'GET "x"'), ("fatal", "short")]


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("a: b: x509: certificate signed by unknown authority", "--dest-cert-dir"),
        ("a: b: denied: requested access to the resource is denied", "skopeo login r.example"),
        ("a: lookup r.example: no such host", "HTTPS_PROXY"),
        ("unknown flag: --typo", "unknown flag: --typo"),
    ],
)
def test_a_failure_says_what_to_do(message, advice):
    assert advice in str(explained("r.example", message))
