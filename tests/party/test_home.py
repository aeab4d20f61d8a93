"""A home whose policy is edited while it is open."""

from __future__ import annotations

from pathlib import Path

from party.home import Home
from party.policy import DEFAULT_POLICY


def test_a_policy_that_was_edited_is_taken_up_and_a_broken_one_is_not(tmp_path: Path) -> None:
    with Home.open(tmp_path / "home") as home:
        policy = home.folder / "policy.toml"
        assert home.policy == DEFAULT_POLICY
        assert home.refresh() is None
        policy.write_text("[limits]\nmin_group = 70\n")
        assert home.refresh() is None
        assert home.policy.limits.min_group == 70
        policy.write_text("[limits]\nmin_grup = 80\n")
        wrong = home.refresh()
        assert wrong is not None
        assert "min_grup" in wrong.message
        assert home.refresh() is None  # told once
        assert home.policy.limits.min_group == 70
        policy.write_text("[limits]\nmin_group = 90  # mended\n")
        assert home.refresh() is None
        assert home.policy.limits.min_group == 90
        policy.unlink()
        assert home.refresh() is None
        assert home.policy == DEFAULT_POLICY
