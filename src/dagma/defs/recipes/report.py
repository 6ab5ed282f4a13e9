"""What materializations say about tables of recipes: metadata, and the share that was skipped."""

from collections.abc import Sequence

import dagster as dg

from dagma.kit.preview import markdown_table

SKIPPED_ROWS = 5


def skips(
    columns: Sequence[str], skipped: Sequence[Sequence[object]]
) -> dict[str, dg.MetadataValue]:
    """How many items were skipped, and the first of them under these column names."""
    metadata: dict[str, dg.MetadataValue] = {"skipped": dg.MetadataValue.int(len(skipped))}
    if skipped:
        table = markdown_table(columns, skipped[:SKIPPED_ROWS])
        metadata["skipped_first"] = dg.MetadataValue.md(table)
    return metadata


def share_check(share: float, limit: float) -> dg.AssetCheckResult:
    """The result of the check `skipped_share`; shares are from 0 to 1."""
    return dg.AssetCheckResult(
        check_name="skipped_share",
        passed=share <= limit,
        metadata={"skipped_share": share, "limit": limit},
    )
