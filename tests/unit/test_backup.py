import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from contextlib import nullcontext

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from dagma.errors import BackupError
from dagma.stack import settings
from dagma.stack.control import Stack
from dagma.stack.services import qdrant
from dagma.stack.upkeep import archive, backup, dumps, restore
from dagma.stack.upkeep.archive import Writer, opened

FACTS = {
    "created": "2026-01-01T00:00:00+00:00",
    "installation": "7",
    "versions": {"dagster": "1.13.0", "postgresql": "17"},
    "prepared": {"dagster": "1.13.0 dagster"},
}
CONTENT = {
    "databases/dagster.dump": b"PGDMP" + bytes(range(256)) * 5,
    "dagster/storage/a": b"",
    "dagster/storage/b/c d": b"x" * 700,
    "qdrant/embedded/meta.json": b"{}",
}


def written(content=CONTENT):
    file = io.BytesIO()
    writer = Writer(file)
    for name, text in content.items():
        writer.add(name, io.BytesIO(text), len(text))
    writer.finish(**FACTS)
    return file.getvalue()


WHOLE = written()


def entries(content):
    return {
        name: {"size": len(text), "sha256": hashlib.sha256(text).hexdigest()}
        for name, text in content.items()
    }


def made(members, **changes):
    """An archive by hand: members are (name, type, content), then a manifest with changes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        plain = {name: text for name, kind, text in members if kind == tarfile.REGTYPE}
        manifest = {"application": "dagma", "format": 1, **FACTS, "files": entries(plain)}
        text = json.dumps(manifest | changes).encode()
        for name, kind, content in [*members, (archive.MANIFEST, tarfile.REGTYPE, text)]:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(content), "/etc/passwd"
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def plain(name, text=b"x"):
    return (name, tarfile.REGTYPE, text)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("archives")


def refused(place, content):
    """The sentence with which an archive is refused."""
    path = place / "a.tar"
    path.write_bytes(content)
    with pytest.raises(BackupError) as caught, opened(path):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(path, target):
    """What is in an archive, by extracting all of it."""
    with opened(path) as found:
        for part in archive.PARTS:
            found.extract(part, target / part)
    return {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }


def test_what_is_written_is_read(tmp_path):
    (tmp_path / "a.tar").write_bytes(WHOLE)
    assert read(tmp_path / "a.tar", tmp_path / "out") == CONTENT


names = st.lists(
    st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=60).filter(
        lambda part: part not in (".", "..") and len(part.encode()) < 200
    ),
    min_size=1,
    max_size=3,
).map("/".join)


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(names.map("dagster/".__add__), st.binary(max_size=2000), max_size=5))
def test_any_names_and_any_content_come_back(tmp_path_factory, content):
    folders = {"/".join(name.split("/")[:n]) for name in content for n in range(1, 4)}
    if any(name in folders and sum(o.startswith(name + "/") for o in content) for name in content):
        return
    place = tmp_path_factory.mktemp("any")
    (place / "a.tar").write_bytes(written(content))
    assert read(place / "a.tar", place / "out") == content


@examples(deadline=None)
@given(st.integers(0, len(WHOLE) - 1))
def test_a_truncated_archive_is_refused_unless_only_padding_is_gone(place, length):
    path = place / "t.tar"
    path.write_bytes(WHOLE[:length])
    needed = len(WHOLE.rstrip(b"\0"))
    if length < needed:
        with pytest.raises(BackupError), opened(path):
            pass


@examples(max_examples=500, deadline=None)
@given(st.integers(0, len(WHOLE) * 8 - 1))
def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path_factory, bit):
    content = bytearray(WHOLE)
    content[bit // 8] ^= 1 << bit % 8
    place = tmp_path_factory.mktemp("flip")
    (place / "a.tar").write_bytes(content)
    try:
        found = read(place / "a.tar", place / "out")
    except BackupError:
        return
    assert found == CONTENT


@examples(deadline=None)
@given(st.binary(max_size=3000))
def test_anything_else_is_refused(place, content):
    refused(place, content)


@examples(max_examples=300, deadline=None)
@given(
    st.integers(0, len(WHOLE) // 512 - 1),
    st.sampled_from([(0, 100), (124, 12), (156, 1), (157, 100), (257, 8), (345, 155)]),
    st.binary(min_size=1, max_size=155),
)
def test_a_forged_header_with_a_right_checksum_is_refused_or_harmless(
    tmp_path_factory, block, where, forged
):
    header = bytearray(WHOLE[block * 512 : block * 512 + 512])
    start, length = where
    header[start : start + length] = forged[:length].ljust(length, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    place = tmp_path_factory.mktemp("forged")
    (place / "a.tar").write_bytes(WHOLE[: block * 512] + header + WHOLE[block * 512 + 512 :])
    try:
        found = read(place / "a.tar", place / "out")
    except BackupError:
        return
    assert found == CONTENT


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "dagster/../../x", "dagster/./x", "dagster//x", "other/x", "dagster"]
)
def test_a_path_that_leads_elsewhere_is_refused(place, name):
    assert "leads elsewhere" in refused(place, made([plain(name)]))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE,
     tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE],
)  # fmt: skip
def test_a_link_and_what_else_is_no_plain_file_is_refused(place, kind):
    sentence = refused(place, made([("dagster/x", kind, b"")]))
    assert "is not a plain file" in sentence or "damaged" in sentence


def test_a_member_that_is_twice_or_both_file_and_folder_is_refused(place):
    assert "is in it twice" in refused(place, made([plain("dagster/x"), plain("dagster/x")]))
    both = [plain("dagster/x"), plain("dagster/x/y")]
    assert "is a file and a folder" in refused(place, made(both))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"application": "other"}, "is not of Dagma"),
        ({"format": 2}, "its format is 2"),
        ({"format": "1"}, "its format is '1'"),
        ({"created": 5}, "created in manifest.json is wrong"),
        ({"more": 1}, "more in manifest.json is wrong"),
        ({"files": {}}, "is not both in it and in manifest.json"),
        ({"files": entries({"dagster/x": b"y"})}, "is not what manifest.json says"),
        ({"files": {"dagster/x": {"size": -1, "sha256": "0" * 64}}}, "size in manifest.json"),
        ({"files": {"dagster/x": {"size": 1, "sha256": "0"}}}, "sha256 in manifest.json"),
        ({"files": entries({"dagster/x": b"x", "dagster/y": b""})}, "'dagster/y' is not both"),
    ],
)
def test_a_wrong_manifest_is_refused(place, changes, expected):
    assert expected in refused(place, made([plain("dagster/x")], **changes))


def test_another_tar_archive_and_a_missing_file_are_refused(place):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("dagster/x"))
    assert "does not end with manifest.json" in refused(place, file.getvalue())
    with pytest.raises(BackupError, match="cannot be read"), opened(place / "none.tar"):
        pass


def test_a_name_that_is_no_utf_8_comes_back(tmp_path):
    name = os.fsdecode(b"dagster/\xff\xfe")
    (tmp_path / "a.tar").write_bytes(written({name: b"x"}))
    assert read(tmp_path / "a.tar", tmp_path / "out") == {name: b"x"}


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"dagster": "1.14.0"}, "was written by dagster 1.14.0, and here is 1.13.9"),
        ({"postgresql": "18"}, "was written by postgresql 18, and here is 17"),
        ({"dagster": "new"}, "no version"),
    ],
)
def test_what_a_newer_version_wrote_is_refused(wanted, sentence):
    with pytest.raises(BackupError, match=sentence):
        restore._not_newer(wanted, {"dagster": "1.13.9", "postgresql": "17"})


def test_what_an_older_version_wrote_is_not(tmp_path):
    older = {"dagster": "1.13.10rc1", "postgresql": "16", "unknown": "9"}
    restore._not_newer(older, {"dagster": "1.13.10", "postgresql": "17"})


@pytest.mark.skipif(shutil.which("pg_restore") is None, reason="no PostgreSQL on PATH")
@pytest.mark.parametrize("server", ["1.18.2", "1.19.0", "1.19.1"])
def test_vectors_of_a_newer_server_are_refused(short_path, tmp_path, program, server):
    named = {"DAGMA_QDRANT_BIN": str(program("its-server", f"echo qdrant {server}"))}
    stack = Stack(settings.load({"DAGMA_HOME": str(short_path / "h"), **named}))
    path = tmp_path / "a.tar"
    path.write_bytes(made([plain(qdrant.SNAPSHOT)], versions={"qdrant": "1.19.0"}))
    newer = pytest.raises(BackupError, match=r"written by qdrant 1\.19\.0, and here is 1\.18\.2")
    with opened(path) as archived, newer if server == "1.18.2" else nullcontext():
        restore.check(stack, archived)


def test_the_oldest_of_an_installation_go_and_the_newest_stays_whatever_its_date(tmp_path):
    old = [tmp_path / f"dagma-2026010{day}T000000Z-5.tar" for day in (1, 2, 3, 4)]
    for path in [*old, tmp_path / "dagma-20200101T000000Z-6.tar", tmp_path / "mine.tar"]:
        path.touch()
    assert sorted(dumps.beyond(tmp_path, backup.NAME, old[3], 2)) == old[:2]
    assert sorted(dumps.beyond(tmp_path, backup.NAME, old[0], 2)) == old[1:3]
    assert dumps.beyond(tmp_path, backup.NAME, old[3], 4) == []


def copied(tree, tmp_path):
    file, said = io.BytesIO(), []
    writer = Writer(file)
    backup._tree(writer, "dagster", tree, tmp_path, said.append, "it")
    writer.finish(**FACTS)
    (tmp_path / "a.tar").write_bytes(file.getvalue())
    return read(tmp_path / "a.tar", tmp_path / "out"), said


def test_links_are_left_out_and_named(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_text("a")
    (tree / "link").symlink_to("/etc/passwd")
    (tree / "folder").symlink_to("/etc")
    os.mkfifo(tree / "pipe")
    found, said = copied(tree, tmp_path)
    assert found == {"dagster/a": b"a"}
    assert said[-1] == f"Left out 3 links and special files of {tree}."


def test_a_sqlite_database_in_use_is_copied_as_of_its_last_commit(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    link = sqlite3.connect(tree / "storage.sqlite")
    link.execute("PRAGMA journal_mode = WAL")
    link.execute("CREATE TABLE t (x)")
    link.execute("INSERT INTO t VALUES (1)")
    link.commit()
    link.execute("INSERT INTO t VALUES (2)")  # not committed
    found, _ = copied(tree, tmp_path)
    assert list(found) == ["dagster/storage.sqlite"]
    link.rollback()
    link.close()
    copy = sqlite3.connect(tmp_path / "out/dagster/storage.sqlite")
    assert copy.execute("SELECT x FROM t").fetchall() == [(1,)]
    copy.close()


def test_the_restored_directories_are_beside_the_present_ones(tmp_path):
    outside = {"DAGMA_HOME": str(tmp_path / "h"), "DAGSTER_HOME": str(tmp_path / "d")}
    loaded = settings.load(outside)
    assert restore._places(loaded.settings) == [
        (tmp_path / "d", tmp_path / "d.restoring"),
        (tmp_path / "h", tmp_path / "h.restoring"),
    ]
    fresh = restore._beside(loaded).settings
    assert (fresh.home, fresh.dagster_home) == (tmp_path / "h.restoring", tmp_path / "d.restoring")


def test_a_swap_that_fails_half_way_is_taken_back(tmp_path):
    places = [(tmp_path / name, tmp_path / f"{name}.restoring") for name in "ab"]
    for live, fresh in places:
        for path in (live, fresh):
            path.mkdir()
            (path / path.name).touch()
    shut = tmp_path / "shut"
    (tmp_path / "b.restoring").rename(shut)
    places[1] = (shut / "in", shut)  # cannot be renamed into itself
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    with pytest.raises(OSError, match="Invalid argument"):
        restore._swap(places)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_a_state_inside_dagsters_home_is_refused(tmp_path):
    nested = {"DAGMA_HOME": str(tmp_path / "d/h"), "DAGSTER_HOME": str(tmp_path / "d")}
    with pytest.raises(BackupError, match="holds DAGMA_HOME"):
        backup.trees(settings.load(nested).settings)


def test_a_restore_where_nothing_can_be_locked_is_one_sentence(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    places = [(tmp_path / "p/h", tmp_path / "p/h.restoring")]
    said = pytest.raises(BackupError, match="p cannot be used: No locks available")
    with said, restore._alone(places):
        pass


def test_checksums_of_snapshots_that_are_gone_are_removed_and_no_others(tmp_path):
    for name in ("a/1.snapshot.checksum", "a/2.snapshot.checksum", "a/2.snapshot", "all.snapshot"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    qdrant._forget_checksums(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"a/2.snapshot", "a/2.snapshot.checksum", "all.snapshot"}
