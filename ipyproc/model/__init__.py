"""The spec, states, events and restart policy of a job: values, without I/O."""
