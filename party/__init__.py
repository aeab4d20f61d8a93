"""What each party runs on its own side: datasets, identifiers, contracts, jobs and results."""
