"""What ``%forkbench`` measures."""
