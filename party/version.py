"""What this program calls itself to partners and in its log."""

from typing import Final

SOFTWARE: Final = "veiljoin 0.1.0"
