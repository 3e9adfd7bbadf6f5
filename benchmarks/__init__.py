"""Measurements, as commands. Compare ratios within one run only: absolute times move with the machine."""
