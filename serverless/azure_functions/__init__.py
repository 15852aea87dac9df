"""Azure Functions: `host.json`, a folder for each function, and the custom handler that the host starts and calls."""
