"""What `make reproduce-paper` runs: the experiments, which of them run here, what they say."""
