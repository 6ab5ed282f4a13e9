"""The file of a backup: a tar archive, not compressed, whose last member is its manifest.

The manifest (JSON) names the format, the versions, and size and SHA-256 of every other member.
Nothing is compressed around the files, so no small archive can become a large one; databases are
dumped compressed anyway. An archive is checked to its last byte before a member of it is used.
"""

import contextlib
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dagma.errors import BackupError
from dagma.stack import services

#: Changes when an older Dagma could not read the archive any more.
FORMAT: Final = 1
#: The last member.
MANIFEST = "manifest.json"
#: What the names of all other members begin with.
PARTS = ("databases", *(tree.folder.split("/")[0] for tree in services.TREES))
#: Bytes read at one time.
CHUNK = 1 << 20

#: What `tarfile` and `json` are known to raise for damaged or hostile input.
_UNREADABLE = (
    tarfile.TarError,
    OSError,
    EOFError,
    ValueError,
    ArithmeticError,
    LookupError,
    RecursionError,
    MemoryError,
)


class Entry(BaseModel):
    """One file: bytes, and the SHA-256 of its content in hexadecimal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]


class Manifest(BaseModel):
    """What an archive holds and what wrote it.

    Attributes:
        application: Always dagma.
        format: Of the archive.
        created: When, as ISO 8601 in UTC.
        installation: The system identifier of the PostgreSQL cluster.
        versions: Of dagma and what migrates databases, and the major version of postgresql.
        prepared: What the table `dagma.prepared` remembers, application -> version.
        files: Every other member.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    application: Literal["dagma"]
    format: Literal[1]
    created: str
    installation: str
    versions: dict[str, str]
    prepared: dict[str, str]
    files: dict[str, Entry]


class Writer:
    """Writes an archive; it is one only after `finish`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._files: dict[str, Entry] = {}

    def add(self, name: str, file: IO[bytes], size: int) -> None:
        """Add a file that does not change meanwhile.

        Args:
            name: Of the member; begins with one of `PARTS`.
            file: Read from where it stands.
            size: Bytes to read.
        """
        listed = _listed(name)
        if listed in self._files or not _proper(name):
            raise BackupError(f"The file {listed!r} cannot be put into an archive: rename it.")
        hashing = _Hashing(file)
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self._tar.addfile(member, hashing)
        self._files[listed] = Entry(size=size, sha256=hashing.digest.hexdigest())

    def finish(self, **facts: Any) -> Manifest:  # noqa: ANN401 - pydantic checks them
        """Write the manifest.

        Args:
            facts: Its fields, without application, format and files.
        """
        manifest = Manifest(application="dagma", format=FORMAT, files=self._files, **facts)
        text = manifest.model_dump_json(indent=1).encode()
        member = tarfile.TarInfo(MANIFEST)
        member.size, member.mode = len(text), 0o600
        self._tar.addfile(member, io.BytesIO(text))
        self._tar.close()
        return manifest


class _Hashing(io.RawIOBase):
    """A file that remembers the hash of what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self.digest.update(block)
        return block


class Archive:
    """An archive that has been checked."""

    def __init__(
        self, tar: tarfile.TarFile, manifest: Manifest, members: dict[str, tarfile.TarInfo]
    ) -> None:
        self._tar = tar
        self._members = members
        self.manifest = manifest

    def names(self, part: str) -> list[str]:
        """The members below a folder."""
        return [name for name in self._members if name.startswith(f"{part}/")]

    def extract(self, part: str, target: Path) -> int:
        """Write the files below a folder of the archive into a directory; how many.

        Raises:
            BackupError: One cannot be written.
        """
        names = self.names(part)
        for name in names:
            member = self._members[name].replace(name=name.removeprefix(f"{part}/"), deep=False)
            try:
                self._tar.extract(member, target, filter="data")
            except _UNREADABLE as error:
                raise BackupError(f"{_listed(name)!r} cannot be restored: {error}.") from error
        return len(names)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open an archive and check all of it.

    Raises:
        BackupError: It is damaged, none of ours, of a format that is not known, or holds what no
            backup holds: links, a path that leads elsewhere, a file that the manifest lacks.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        try:
            tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - closed with the file
            members = _members(tar)
            manifest = _manifest(tar, members)
            for name, member in members.items():
                _same(tar, member, manifest.files[_listed(name)])
        except _UNREADABLE as error:
            raise BackupError(f"{path} is damaged, or no backup of Dagma: {error}.") from error
        except _Refused as error:
            raise BackupError(f"{path} is not restored: {error}.") from error
        yield Archive(tar, manifest, members)


class _Refused(Exception):
    """Why an archive is not taken, without its name."""


def _members(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """All members by name; none that a backup would not have written."""
    members: dict[str, tarfile.TarInfo] = {}
    end = -1
    while (member := tar.next()) is not None:
        # Headers that lead back would be read for ever.
        if member.offset <= end or member.size < 0:
            raise _Refused("its members overlap")
        end = member.offset
        if member.type != tarfile.REGTYPE or member.issparse():
            raise _Refused(f"{_listed(member.name)!r} in it is not a plain file")
        if member.name in members:
            raise _Refused(f"{_listed(member.name)!r} is in it twice")
        if member.name != MANIFEST and not _proper(member.name):
            raise _Refused(f"{_listed(member.name)!r} in it leads elsewhere")
        members[member.name] = member
    folders = {str(parent) for name in members for parent in PurePosixPath(name).parents}
    if both := folders & members.keys():
        raise _Refused(f"{_listed(both.pop())!r} in it is a file and a folder")
    return members


def _proper(name: str) -> bool:
    """Whether a name stays below the folder it begins with."""
    parts = name.split("/")
    return (
        len(parts) > 1
        and parts[0] in PARTS
        and not {"", ".", ".."} & set(parts)
        and "\0" not in name
    )


def _manifest(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo]) -> Manifest:
    """Take the manifest out of the members, and compare it with the others."""
    if not members or next(reversed(members)) != MANIFEST:
        raise _Refused(f"it does not end with {MANIFEST}, so it is cut off or no backup of Dagma")
    content = json.loads(_content(tar, members.pop(MANIFEST)).read())
    if not isinstance(content, dict) or content.get("application") != "dagma":
        raise _Refused(f"{MANIFEST} in it is not of Dagma")
    if content.get("format") != FORMAT:
        raise _Refused(
            f"its format is {content.get('format')!r}, and this Dagma knows {FORMAT}: "
            "restore it with the Dagma that wrote it, or a newer one"
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _Refused(f"{where} in {MANIFEST} is wrong ({first['msg']})") from error
    listed = {_listed(name) for name in members}
    if differing := listed ^ manifest.files.keys():
        raise _Refused(f"{min(differing)!r} is not both in it and in {MANIFEST}")
    return manifest


def _same(tar: tarfile.TarFile, member: tarfile.TarInfo, entry: Entry) -> None:
    """Refuse a member that is not what the manifest says."""
    content = _content(tar, member)
    digest = hashlib.sha256()
    while block := content.read(CHUNK):
        digest.update(block)
    if member.size != entry.size or digest.hexdigest() != entry.sha256:
        raise _Refused(f"{_listed(member.name)!r} in it is not what {MANIFEST} says")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    if content is None:
        raise _Refused(f"{_listed(member.name)!r} in it is not a plain file")
    return content


def _listed(name: str) -> str:
    """A name as JSON can hold it: bytes of a file name that are no UTF-8 as backslash and digits."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
