"""The queue: which jobs wait and in which order, who takes them, and what becomes of them when a worker dies."""
