"""The project's own benchmarks: ratios and rates measured in one run on one machine."""
