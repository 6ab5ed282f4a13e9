"""What a notification says, and the three formats that it is sent in."""

from dataclasses import asdict, dataclass
from html import escape
from typing import Any

__all__ = ["Message"]

#: Bytes of UTF-8 that WeCom takes of a Markdown message:
#: https://developer.work.weixin.qq.com/document/path/91770
WECOM_LIMIT = 4096
#: Characters of the reason in a message for Slack, which shows about 3000 without unfolding:
#: https://docs.slack.dev/messaging/formatting-message-text
SLACK_LIMIT = 2000


@dataclass(frozen=True)
class Message:
    """One notification.

    Attributes:
        event: `run_success`, `run_failure`, `check_failure`, `recipes_shrunk`, `schedule_failed` or
            `schedule_late`.
        title: One line for people.
        job: Name of the job, or of the schedule.
        run_id: Dagster's id of the run; empty where it is not about one.
        partition: Key of its partition, if it has one.
        text: Why it failed, or what was found; may be empty.
        url: Its page in Dagster's web interface; empty where its address is not set.
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

    def slack(self) -> dict[str, Any]:
        """A message of an incoming webhook of Slack, in its own markup."""
        lines = [f"*{escape(self.title, quote=False)}*"]
        if self.partition:
            lines.append(f"partition {escape(self.partition, quote=False)}")
        if self.text:
            quoted = escape(self.text[:SLACK_LIMIT], quote=False)
            lines.append("> " + quoted.replace("\n", "\n> "))
        lines.append(f"<{self.url}|{self.run_id[:8] or 'open'}>" if self.url else self.run_id)
        return {"text": "\n".join(filter(None, lines))}

    def wecom(self) -> dict[str, Any]:
        """A Markdown message of a WeCom bot."""
        lines = [f"**{self.title}**"]
        if self.partition:
            lines.append(f"partition {self.partition}")
        link = f"\n[{self.run_id[:8] or 'open'}]({self.url})" if self.url else f"\n{self.run_id}"
        head = "\n".join(lines)
        room = WECOM_LIMIT - len(f"{head}{link}".encode()) - len("\n> ")
        quoted = self.text.replace("\n", "\n> ").encode()[:room].decode(errors="ignore")
        return {
            "msgtype": "markdown",
            "markdown": {"content": head + (f"\n> {quoted}" if quoted else "") + link},
        }
