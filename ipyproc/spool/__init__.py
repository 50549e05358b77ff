"""Where output is kept: bytes by offset with their stream and time, lines, text."""
