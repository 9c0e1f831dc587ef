"""`python -m naturalize`."""

from naturalize.cli import main

main()
