"""What training on facts misses: worlds of facts, and a model that reads them in its context, is trained on them, or on what follows from them."""
