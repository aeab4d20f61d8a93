"""``python -m tests.faults``: trials from published seeds; exits 1 if anything was wrong in one of them."""

from __future__ import annotations

import sys

from tests.faults import chunks  # noqa: F401 - before all others: it makes chunks small
from tests.faults.command import main

sys.exit(main())
