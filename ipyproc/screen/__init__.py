"""What a terminal shows of a program's output: finished lines, and the live rows that may still change."""
