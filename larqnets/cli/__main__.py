"""`python -m larqnets.cli` is `larqnets`."""

from larqnets.cli.main import main

main()
