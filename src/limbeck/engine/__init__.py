"""The machine room: loading, tokens, batches, the one training path, prediction. torch is imported here."""
