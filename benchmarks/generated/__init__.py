"""The parts of the two benchmarks that retime clips, generated and existing ones."""
