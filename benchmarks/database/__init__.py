"""For the benchmarks of the database: servers, deep tables, and the work that is timed."""
