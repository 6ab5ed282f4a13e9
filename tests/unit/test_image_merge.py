"""Two layouts become one; what does not fit together leaves nothing behind."""

import json

import pytest
from small_layouts import read, small_layout

from merge import merge
from stored import ImageError, Stored

ROLES = {"daemon": ["base", "dagster"], "web": ["base", "web"]}


@pytest.fixture
def amd64(tmp_path):
    return small_layout(tmp_path / "amd64", ROLES)


@pytest.fixture
def arm64(tmp_path):
    return small_layout(tmp_path / "arm64", ROLES, "arm64")


def refusal(tmp_path, *layouts):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ImageError) as error:
        merge(tmp_path / "out", list(layouts))
    assert sorted(tmp_path.iterdir()) == before
    return str(error.value)


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_each_role_is_an_index_of_both_architectures(amd64, arm64, tmp_path):
    merge(tmp_path / "out", [amd64, arm64])
    index = json.loads((tmp_path / "out/index.json").read_text())
    entries = {
        entry["annotations"]["org.opencontainers.image.ref.name"]: entry
        for entry in index["manifests"]
    }
    assert list(entries) == ["daemon", "web"]
    for role, entry in entries.items():
        assert entry["mediaType"] == "application/vnd.oci.image.index.v1+json"
        image = read(tmp_path / "out", entry)
        assert entry["annotations"]["org.opencontainers.image.revision"] == "abc"
        assert image["annotations"] == {
            "org.opencontainers.image.title": role,
            "org.opencontainers.image.version": "1.2",
        }
        assert [
            (part["platform"]["architecture"], part["digest"]) for part in image["manifests"]
        ] == [
            ("amd64", Stored(amd64).entries[role]["digest"]),
            ("arm64", Stored(arm64).entries[role]["digest"]),
        ]


def test_all_blobs_are_there_once_and_none_is_a_link(amd64, arm64, tmp_path):
    merge(tmp_path / "out", [amd64, arm64])
    out = Stored(tmp_path / "out")
    for role in ROLES:
        for manifest in out.manifests(role):
            assert all(
                out.blob(blob).stat().st_size == blob["size"] for blob in out.blobs(manifest)
            )
    blobs = list((tmp_path / "out/blobs/sha256").iterdir())
    assert not any(blob.is_symlink() for blob in blobs)
    # 3 layers, for each architecture 2 configurations and 2 manifests, and 2 indexes
    assert len(blobs) == 3 + 2 * (2 + 2) + 2


def test_the_order_of_the_layouts_does_not_matter(amd64, arm64, tmp_path):
    merge(tmp_path / "one", [amd64, arm64])
    merge(tmp_path / "other", [arm64, amd64])
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_the_same_architecture_twice_is_refused(amd64, tmp_path):
    same = small_layout(tmp_path / "same", ROLES)
    assert "are both for amd64" in refusal(tmp_path, amd64, same)


def test_other_roles_are_refused(amd64, tmp_path):
    fewer = small_layout(tmp_path / "fewer", {"web": ["web"]}, "arm64")
    assert "build both from one commit" in refusal(tmp_path, amd64, fewer)


def test_another_revision_is_refused(amd64, tmp_path):
    newer = small_layout(tmp_path / "newer", ROLES, "arm64", revision="def")
    message = refusal(tmp_path, amd64, newer)
    assert "revision abc" in message
    assert "def" in message


def test_two_trees_with_edits_are_refused_unless_the_edits_are_the_same(tmp_path):
    layouts = [
        small_layout(tmp_path / name, ROLES, architecture, revision=f"abc-dirty-{edits}")
        for name, architecture, edits in (
            ("one", "amd64", "1"),
            ("same", "arm64", "1"),
            ("other", "arm64", "2"),
        )
    ]
    merge(tmp_path / "both", layouts[:2])
    assert "revision abc-dirty-1" in refusal(tmp_path, layouts[0], layouts[2])


def test_trees_of_which_nothing_is_known_are_refused(tmp_path):
    layouts = [
        small_layout(tmp_path / name, ROLES, name, revision="unknown")
        for name in ("amd64", "arm64")
    ]
    assert "does not say what commit" in refusal(tmp_path, *layouts)


def test_a_commit_that_changes_no_content_changes_no_digest(amd64, arm64, tmp_path):
    merge(tmp_path / "out", [amd64, arm64])
    later = [
        small_layout(tmp_path / f"later-{name}", ROLES, name, revision="def")
        for name in ("amd64", "arm64")
    ]
    merge(tmp_path / "later", later)
    before, after = Stored(tmp_path / "out"), Stored(tmp_path / "later")
    assert {role: after.entries[role]["digest"] for role in ROLES} == {
        role: before.entries[role]["digest"] for role in ROLES
    }
    assert {after.revision(role) for role in ROLES} == {"def"}


def test_a_merged_layout_is_not_merged_again(amd64, arm64, tmp_path):
    merge(tmp_path / "both", [amd64, arm64])
    third = small_layout(tmp_path / "third", ROLES, "riscv64")
    assert "one architecture each" in refusal(tmp_path, tmp_path / "both", third)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_blob_is_refused(amd64, arm64, tmp_path, damage):
    victim = next((amd64 / "layers").iterdir())
    victim.unlink() if damage == "missing" else victim.write_bytes(b"other")
    assert "missing or damaged" in refusal(tmp_path, amd64, arm64)


def test_a_folder_that_is_there_stays_as_it_is(amd64, arm64, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").touch()
    assert "is there already" in refusal(tmp_path, amd64, arm64)
    assert (tmp_path / "out/file").exists()


def test_what_is_no_layout_is_refused(amd64, tmp_path):
    assert "is not an OCI layout" in refusal(tmp_path, amd64, tmp_path)
