"""The program in which workers are forked; it imports little, since a cell waits for it."""
