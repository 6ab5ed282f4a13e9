"""`python -m dagma.cli`, as the processes of the stack call it."""

from dagma.cli import main

main()
