"""Sign digests of images as cosign does, and verify it: with a key of one's own and without a service.

What is signed is a small JSON document ("simple signing") that names the digest: the form of cosign 1 and 2.
bundle.py has that of cosign 3. Keys are on the curve P-256, as cosign's are. Signatures are made without
chance (RFC 6979): the same key gives the same.
"""

import base64
import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from stored import ImageError

type PrivateKey = ec.EllipticCurvePrivateKey
type PublicKey = ec.EllipticCurvePublicKey

MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
ARTIFACT_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
#: The annotation of the layer that holds the document.
SIGNATURE = "dev.cosignproject.cosign/signature"
HOW = "make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"


def content(file: Path) -> bytes:
    """Return what is in a key file.

    Raises:
        ImageError: It cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise ImageError(f"{file} cannot be read: {error.strerror}") from error


def private_key(file: Path) -> PrivateKey:
    """Return the private key in a PEM file.

    Its password is in the variable COSIGN_PASSWORD.

    Raises:
        ImageError: There is none that fits, its password is another, or others may read the file.
    """
    pem = content(file)
    if file.stat().st_mode & 0o077:
        raise ImageError(f"{file} can be read by other users: `chmod 600 {file}`")
    password = os.environ.get("COSIGN_PASSWORD", "").encode() or None
    try:
        key = load_pem_private_key(pem, password)
    except (ValueError, TypeError) as error:
        raise ImageError(
            f"{file} is not a private key in PEM, or COSIGN_PASSWORD is not its password: {HOW}"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ImageError(f"{file} is not a key on the curve P-256: {HOW}")
    return key


def public_key(file: Path) -> PublicKey:
    """Return the public key in a PEM file.

    Raises:
        ImageError: There is none that fits.
    """
    try:
        key = load_pem_public_key(content(file))
    except ValueError as error:
        raise ImageError(
            f"{file} is not a public key in PEM: `openssl pkey -in KEY -pubout` prints that of a key"
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ImageError(f"{file} is not a public key on the curve P-256")
    return key


def document(repository: str, digest: str) -> bytes:
    """Return what is signed for a digest in a repository."""
    critical = {
        "identity": {"docker-reference": repository},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


def sign(key: PrivateKey, signed: bytes) -> str:
    """Return the signature of a document, base64."""
    algorithm = ec.ECDSA(SHA256(), deterministic_signing=True)
    return base64.b64encode(key.sign(signed, algorithm)).decode()


def valid(key: PublicKey, signed: bytes, signature: str) -> bool:
    """Return whether a signature, base64, is of some bytes and made with a key."""
    try:
        key.verify(base64.b64decode(signature, validate=True), signed, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def verified(key: PublicKey, signed: bytes, signature: str, digest: str) -> bool:
    """Return whether a document is signed with a key and names a digest."""
    if not valid(key, signed, signature):
        return False
    image: dict[str, str] = json.loads(signed)["critical"]["image"]
    return image["docker-manifest-digest"] == digest
