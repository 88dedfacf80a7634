"""`python -m sightline.infra.cli` is the `sightline` command."""

from sightline.infra.cli.quick_start import main

main()
