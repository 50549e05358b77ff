"""Storage of output: bytes by offset, each with its stream and time; lines; text."""
