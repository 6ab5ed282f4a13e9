"""The forms of cosign's signatures, pinned by what cosign 3.1.3 wrote."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

import bundle
import signing

#: What `cosign sign --key` wrote, and the public part of that key.
COSIGN = (
    '{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial":{"publicKey":'
    '{"hint":"1E538WLrxm00ZuASAlSFHWCs7uNbidt9+gpb//1gVrc="}}, "dsseEnvelope":{"payload":"eyJfdHlwZSI6'
    "Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCAic3ViamVjdCI6W3siZGlnZXN0Ijp7InNoYTI1NiI6IjMxMzg3"
    "ZDM0MDhmNDQwYThkN2Y4NjcwMGQxZmI5MjYwMDBmMjM0YWQzMjg1ZmUzZGY3MWU0ZTI4N2ZiY2NiNGUifSwgImFubm90YXRp"
    "b25zIjp7fX1dLCAicHJlZGljYXRlVHlwZSI6Imh0dHBzOi8vc2lnc3RvcmUuZGV2L2Nvc2lnbi9zaWduL3YxIiwgInByZWRp"
    'Y2F0ZSI6e319", "payloadType":"application/vnd.in-toto+json", "signatures":[{"sig":"MEUCIQCwh1/2PVp'
    "NWcd0kcNJhpRrAs0c4pp9FC67OHpbs9ZifwIgO7OGrhlR6CDwnBQeiw9ruvht0HDH/xPhv9iK6Wc2yM8="
    '"}]}}'
)
KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEqDliEDdlsx83ePcVJYGsu4GO9ZV
wGFrEoHpyCPozNUBdxT1zqt8V0OJum+yto3+JFnXrYYToE/NUg6lhncFEg==
-----END PUBLIC KEY-----
"""
DIGEST = "sha256:31387d3408f440a8d7f86700d1fb926000f234ad3285fe3df71e4e287fbccb4e"
OTHER = DIGEST.replace("3138", "0000")


@pytest.fixture
def cosigns() -> signing.PublicKey:
    key = load_pem_public_key(KEY.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


@pytest.fixture
def key() -> signing.PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_what_cosign_signed_is_verified(cosigns: signing.PublicKey) -> None:
    assert bundle.verified(cosigns, COSIGN.encode(), DIGEST)


def test_of_its_digest_alone(cosigns: signing.PublicKey) -> None:
    assert not bundle.verified(cosigns, COSIGN.encode(), OTHER)


def test_and_of_its_key_alone(key: signing.PrivateKey) -> None:
    assert not bundle.verified(key.public_key(), COSIGN.encode(), DIGEST)


def test_a_key_is_named_as_cosign_does(cosigns: signing.PublicKey) -> None:
    given = json.loads(COSIGN)["verificationMaterial"]["publicKey"]["hint"]
    assert bundle.hint(cosigns) == given


def test_a_bundle_has_what_cosigns_has(key: signing.PrivateKey) -> None:
    def said(content: str | bytes) -> object:
        found = json.loads(content)
        envelope = found["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        statement["subject"][0].pop("annotations", None)
        (signature,) = envelope["signatures"]
        kinds = found["mediaType"], envelope["payloadType"], [*found], [*envelope], [*signature]
        return kinds, statement

    made = bundle.make(key, DIGEST)
    assert said(made) == said(COSIGN)
    assert made == bundle.make(key, DIGEST)
    assert bundle.verified(key.public_key(), made, DIGEST)
    assert not bundle.verified(key.public_key(), made, OTHER)


def test_the_example_of_dsse() -> None:
    found = bundle.encoded("http://example.com/HelloWorld", b"hello world")
    assert found == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_another_statement_about_an_image_does_not_sign_it(
    key: signing.PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the result of a scan, signed with the same key."""
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "SIGNED", "https://cosign.sigstore.dev/attestation/vuln/v1")
        scan = bundle.make(key, DIGEST)
    assert not bundle.verified(key.public_key(), scan, DIGEST)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"messageSignature": {}}', '{"dsseEnvelope": {"payload": "%"}}', "\xff"],
)
def test_a_bundle_of_another_kind_does_not_sign(key: signing.PrivateKey, content: str) -> None:
    assert not bundle.verified(key.public_key(), content.encode("latin-1"), DIGEST)
