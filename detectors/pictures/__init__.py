"""Pictures: which formats are read, how bytes become pixels and pixels a tensor, how boxes are drawn."""
