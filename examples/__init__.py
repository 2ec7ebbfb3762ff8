"""Examples, each a folder with a README, three configs and the code that they name."""
