"""For authors: notebooks and their texts, and the beginnings of new exercises and notebooks."""
