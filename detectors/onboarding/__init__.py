"""How a model that people have becomes an entry of the catalogue: look into it, check it, compile it."""
