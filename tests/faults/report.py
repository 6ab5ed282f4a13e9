"""The fault report: what was killed, how often, and what came of it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Line:
    """The kills of one kind at one moment.

    Attributes:
        fault: What was killed.
        moment: When.
        tried: How often.
        recovered: After how many of them all promises held.
        service_seconds: Slowest time from the kill until all services were back.
        run_seconds: Slowest time from the kill until the run in progress had succeeded.
        lost: Runs that never succeeded.
        duplicated: Materializations done twice.
    """

    fault: str
    moment: str
    tried: int = 0
    recovered: int = 0
    service_seconds: float = 0.0
    run_seconds: float = 0.0
    lost: int = 0
    duplicated: int = 0


@dataclass
class Report:
    """All lines of one session."""

    lines: dict[tuple[str, str], Line] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def line(self, fault: str, moment: str) -> Line:
        """The line of these kills."""
        return self.lines.setdefault((fault, moment), Line(fault, moment))

    def table(self) -> list[str]:
        """The report as a Markdown table."""
        rows = [
            "| killed | moment | tried | recovered | slowest service, s | slowest run, s | lost runs"
            " | duplicated |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for line in self.lines.values():
            rows.append(
                f"| {line.fault} | {line.moment} | {line.tried} | {line.recovered}"
                f" | {_seconds(line.service_seconds)} | {_seconds(line.run_seconds)}"
                f" | {line.lost} | {line.duplicated} |"
            )
        return [*rows, "", *self.notes] if self.notes else rows

    def write(self, path: Path) -> None:
        """Write the report as JSON: `{"lines": [...], "notes": [...]}`."""
        whole = {"lines": [asdict(line) for line in self.lines.values()], "notes": self.notes}
        path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value else "-"
