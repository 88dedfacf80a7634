"""`python -m sightline.infra.cli` is the `sightline` command."""

from sightline.infra.cli.main import main

main()
