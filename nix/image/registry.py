"""A registry by way of skopeo: what is there, and what else goes there.

skopeo's log is read: its last message becomes one sentence with what to do.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from stored import ImageError

#: What skopeo's message contains -> what to do about it.
ADVICE = {
    r"HTTP response to HTTPS client": "it speaks plain HTTP, add --dest-tls-verify=false if it may",
    r"x509|certificate": "add its certificate authority with --dest-cert-dir=DIR or SSL_CERT_FILE",
    r"unauthorized|authentication required|denied|invalid username|status code 40[13]": (
        "log in with `skopeo login {registry}` as a user who may push there"
    ),
    r"refused|no such host|timeout|timed out|no route|unreachable|reset by peer|EOF": (
        "check its name, the network and HTTPS_PROXY"
    ),
}
#: A line of skopeo's log.
LINE = re.compile(r'level=(?P<level>\w+) msg=(?P<text>"(?:[^"\\]|\\.)*"|\S+)')
#: skopeo's messages about what is not there; registries word them in more than one way.
ABSENT = re.compile(r"manifest unknown|name unknown|NAME_UNKNOWN|not found|status code 404")
#: Options of `skopeo copy` that reading has too, there without `dest-`.
READING = ("authfile", "cert-dir", "no-creds", "tls-verify")


def messages(log: Iterator[str] | list[str]) -> Iterator[tuple[str, str]]:
    """Yield the level and text of each line that skopeo logs."""
    for line in log:
        if match := LINE.search(line):
            text = match["text"]
            yield match["level"], json.loads(text) if text.startswith('"') else text


def explained(registry: str, message: str) -> ImageError:
    """Return the error for what skopeo said last."""
    for pattern, advice in ADVICE.items():
        if re.search(pattern, message):
            # The outermost error is at the left, its cause at the right.
            cause = ": ".join(message.split(": ")[-2:])
            return ImageError(
                f"{registry} did not take it: {advice.format(registry=registry)} ({cause})"
            )
    return ImageError(f"skopeo could not push: {message}")


def reading(options: list[str]) -> list[str]:
    """Return the options that say how to reach a registry, as `skopeo inspect` takes them."""
    found = []
    for option in options:
        name = re.sub("^--(dest-|src-)?", "", option)
        if name.split("=")[0] in READING:
            found.append(f"--{name}")
    return found


class Registry:
    """One registry.

    Args:
        name: Its address.
        options: Those of `skopeo copy`, written --name=value.
    """

    def __init__(self, name: str, options: list[str]) -> None:
        self.name = name
        self.options = options
        self.reading = reading(options)

    def skopeo(self, *words: str) -> bytes:
        """Run skopeo and return what it printed.

        Raises:
            ImageError: It failed.
        """
        command = ["skopeo", "--insecure-policy", *words]
        ran = subprocess.run(command, capture_output=True, check=False)
        if ran.returncode:
            lines = ran.stderr.decode(errors="replace").splitlines()
            last = [text for level, text in messages(lines) if level == "fatal"] or lines or ["?"]
            raise explained(self.name, last[-1])
        return ran.stdout

    def manifest(self, reference: str) -> bytes | None:
        """Return the manifest or index of REPOSITORY:TAG or REPOSITORY@DIGEST; None when there is none.

        Raises:
            ImageError: The registry does not answer, or wants a login.
        """
        try:
            return self.skopeo("inspect", "--raw", *self.reading, f"docker://{reference}")
        except ImageError as error:
            if ABSENT.search(str(error)):
                return None
            raise

    def put(self, layout: Path, name: str, reference: str) -> None:
        """Copy what a layout has under a name; of an index the index alone.

        Raises:
            ImageError: skopeo failed.
        """
        words = ["copy", "--quiet", "--multi-arch=index-only", "--preserve-digests", *self.options]
        self.skopeo(*words, f"oci:{layout}:{name}", f"docker://{reference}")

    def get(self, reference: str, layout: Path) -> None:
        """Copy a manifest with its blobs into a layout; skopeo compares all digests.

        Raises:
            ImageError: skopeo failed.
        """
        options = [option.replace("--", "--src-", 1) for option in self.reading]
        words = ["copy", "--quiet", "--preserve-digests", *options]
        self.skopeo(*words, f"docker://{reference}", f"oci:{layout}:copy")
