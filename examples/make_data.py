"""Writes the data of the examples: ``python examples/make_data.py --out DIR``. README.md says what is planted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

# So that it runs from a checkout too, where Veiljoin need not be installed.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from party.campaign_data import make_campaign

SEED: Final = 20_260
SMALLEST: Final = 2_000


def main() -> int:
    """Run the script; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Write bank.csv and platform.csv for the examples beside this file."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the two files")
    parser.add_argument("--persons", type=int, default=20_000, help="persons per side (default 20000)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"another campaign (default {SEED})")
    arguments = parser.parse_args()
    if arguments.persons < SMALLEST:
        parser.error(f"--persons {arguments.persons} is too few to show anything; use {SMALLEST} or more")
    arguments.out.mkdir(parents=True, exist_ok=True)
    campaign = make_campaign(arguments.out, arguments.persons, seed=arguments.seed)
    sys.stdout.write(
        f"{campaign.bank} and {campaign.platform}: {campaign.bank_persons:,} persons each, "
        f"{campaign.common_persons:,} of them in both\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
