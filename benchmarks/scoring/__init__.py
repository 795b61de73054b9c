"""What clips are judged by in every experiment: curve, quality, and what their number can show."""
