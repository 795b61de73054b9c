"""From a config to records and tables: cells, workers, the store of finished cells, one run."""
