"""Measured against true pacing: the parts of the synthetic benchmark."""
