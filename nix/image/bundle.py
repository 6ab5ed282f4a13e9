"""Signatures in the form that cosign 3 writes, and looks for first: bundles of Sigstore, version 0.3.

What is signed is an in-toto statement about a digest, in an envelope (DSSE 1.0). The bundle holds no
certificate and no entry of a log, but a hint which key it is of.
"""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from provenance import STATEMENT, hexadecimal
from signing import PrivateKey, PublicKey, sign, valid

type Json = dict[str, Any]

#: How the types of all versions begin.
TYPES = "application/vnd.dev.sigstore.bundle"
TYPE = f"{TYPES}.v0.3+json"
PAYLOAD = "application/vnd.in-toto+json"
#: The statement that says no more than that its subject is signed.
SIGNED = "https://sigstore.dev/cosign/sign/v1"
ANNOTATIONS = {
    "dev.sigstore.bundle.content": "dsse-envelope",
    "dev.sigstore.bundle.predicateType": SIGNED,
}


def statement(digest: str) -> bytes:
    """Return what is signed for a digest."""
    value = {
        "_type": STATEMENT,
        "subject": [{"digest": hexadecimal(digest)}],
        "predicateType": SIGNED,
        "predicate": {},
    }
    return json.dumps(value, separators=(",", ":")).encode()


def encoded(kind: str, payload: bytes) -> bytes:
    """Return what the signature of an envelope is of: its type and payload (DSSE 1.0, PAE)."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def hint(key: PublicKey) -> str:
    """Return what names a key in a bundle: the digest of its DER form."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def make(key: PrivateKey, digest: str) -> bytes:
    """Return a bundle that signs a digest."""
    payload = statement(digest)
    value = {
        "mediaType": TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint(key.public_key())}},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD,
            "signatures": [{"sig": sign(key, encoded(PAYLOAD, payload))}],
        },
    }
    return json.dumps(value, separators=(",", ":")).encode()


def verified(key: PublicKey, content: bytes, digest: str) -> bool:
    """Return whether a bundle signs a digest with a key; one of another kind does not."""
    try:
        envelope: Json = json.loads(content)["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signed = encoded(envelope["payloadType"], payload)
        signatures = [item["sig"] for item in envelope["signatures"]]
        if not any(valid(key, signed, signature) for signature in signatures):
            return False
        said: Json = json.loads(payload)
        subjects = [subject["digest"] for subject in said["subject"]]
        return said["predicateType"] == SIGNED and hexadecimal(digest) in subjects
    except (KeyError, TypeError, ValueError):
        return False
