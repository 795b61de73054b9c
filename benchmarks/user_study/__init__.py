"""The parts of the user study: its trials, its page, and what the answers say."""
