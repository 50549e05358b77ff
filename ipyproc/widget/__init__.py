"""The live view of a job in a page: a conversation between the kernel and a widget, and what carries it."""
