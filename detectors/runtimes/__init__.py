"""One module or package for each runtime, and the registry that knows which of them are installed."""
