"""What a notification says, and the two formats that it is sent in."""

from dataclasses import asdict, dataclass
from typing import Any

#: Bytes of UTF-8 that WeCom takes of a Markdown message:
#: https://developer.work.weixin.qq.com/document/path/91770
WECOM_LIMIT = 4096


@dataclass(frozen=True)
class Message:
    """One notification.

    Attributes:
        event: `run_success`, `run_failure` or `recipes_shrunk`.
        title: One line for people.
        job: Name of the job.
        run_id: Dagster's id of the run.
        partition: Key of its partition, if it has one.
        text: Why it failed, or what was found; may be empty.
        url: The run in Dagster's web interface; empty where its address is not set.
    """

    event: str
    title: str
    job: str
    run_id: str
    partition: str | None
    text: str
    url: str

    def json(self) -> dict[str, Any]:
        """The generic format: the attributes by their names."""
        return asdict(self)

    def wecom(self) -> dict[str, Any]:
        """A Markdown message of a WeCom bot."""
        lines = [f"**{self.title}**"]
        if self.partition:
            lines.append(f"partition {self.partition}")
        link = f"\n[{self.run_id[:8]}]({self.url})" if self.url else f"\n{self.run_id}"
        head = "\n".join(lines)
        room = WECOM_LIMIT - len(f"{head}{link}".encode()) - len("\n> ")
        quoted = self.text.replace("\n", "\n> ").encode()[:room].decode(errors="ignore")
        return {
            "msgtype": "markdown",
            "markdown": {"content": head + (f"\n> {quoted}" if quoted else "") + link},
        }
