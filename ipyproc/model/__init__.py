"""What a job is: its spec, states, events and policy. Values, which touch no disk and start nothing."""
