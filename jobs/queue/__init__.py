"""The queue: which jobs wait and in which order, which worker claims them, and how they are recovered from a crash."""
