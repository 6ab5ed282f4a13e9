"""Every error that Dagma raises on purpose.

    DagmaError
    ├── SettingsError    a setting, or a line of .env, is wrong
    ├── PreflightError   the machine is not ready: port taken, program missing, directory unwritable
    ├── DatabaseError    PostgreSQL cannot be created, reached or prepared
    ├── CodeError        the user's Dagster definitions do not load
    ├── BackupError      a backup cannot be written, or an archive cannot be restored
    └── StackError       a service did not start, or did not stop
        └── NotRunning   the command needs a running stack and there is none

A message is one sentence for the user: what is wrong, with which value, and what to do. The command
line prints it as one line and exits with 1; nothing else is caught there.
"""


class DagmaError(Exception):
    """Root of all errors that are meant for the user."""


class SettingsError(DagmaError):
    """A setting is unknown, malformed or contradicts another one."""


class PreflightError(DagmaError):
    """The machine cannot run the stack as it is set."""


class DatabaseError(DagmaError):
    """PostgreSQL cannot be created, reached or prepared."""


class CodeError(DagmaError):
    """The user's Dagster definitions do not load."""


class BackupError(DagmaError):
    """A backup cannot be written, or an archive cannot be restored."""


class StackError(DagmaError):
    """A service did not start, or did not stop."""


class NotRunning(StackError):
    """There is no running stack in this state directory."""
