"""What the benchmarks of the database need: servers, deep tables, the work that is timed."""
