"""Sorting clips: verdicts against limits, dead ends cut off, stretches for editors."""
