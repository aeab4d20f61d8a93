"""Settings that every test shares."""

from __future__ import annotations

from hypothesis import settings

# Machines are shared and slow at times: an example has no deadline, a test has pytest's timeout.
settings.register_profile("veiljoin", deadline=None, print_blob=True)
settings.load_profile("veiljoin")
