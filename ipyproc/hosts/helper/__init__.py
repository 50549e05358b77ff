"""The program that forks workers; it imports little, since a cell waits for its start."""
