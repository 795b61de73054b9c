"""The parts of the leaderboard: who may be compared, how they stand, others' records."""
