"""Three assets in a row: numbers, their sum, and the sum ready for a chart."""

import dagster as dg
from pydantic import Field

from dagma.kit.preview import markdown_table

GROUP = "numbers"


class NumbersConfig(dg.Config):
    """What `raw_numbers` generates."""

    count: int = Field(default=10, ge=1, le=1_000_000, description="How many numbers, from 1 up.")


@dg.asset(group_name=GROUP, kinds={"python"})
def raw_numbers(config: NumbersConfig) -> dg.Output[list[int]]:
    """The whole numbers from 1 to `count`."""
    numbers = list(range(1, config.count + 1))
    return dg.Output(numbers, metadata={"dagster/row_count": len(numbers)})


@dg.asset(group_name=GROUP, kinds={"python"})
def sum_numbers(raw_numbers: list[int]) -> dg.Output[int]:
    """The sum of `raw_numbers`."""
    total = sum(raw_numbers)
    return dg.Output(total, metadata={"sum": total})


@dg.asset(group_name=GROUP, kinds={"python"})
def viz_ready_data(sum_numbers: int) -> dg.Output[dict[str, list[object]]]:
    """One bar of a chart: `labels` and `values`, lists of the same length."""
    data: dict[str, list[object]] = {"labels": ["sum"], "values": [sum_numbers]}
    preview = markdown_table(list(data), zip(*data.values(), strict=True))
    return dg.Output(data, metadata={"preview": dg.MetadataValue.md(preview)})


numbers = dg.define_asset_job(
    "numbers",
    selection=dg.AssetSelection.groups(GROUP),
    description="The three assets of numbers; the quickest way to see a run.",
)
