"""What turns pictures into jobs and claims into answers. The API, the workers and the functions call it."""
