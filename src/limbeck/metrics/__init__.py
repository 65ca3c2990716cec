"""What an answer is worth: one file per family of answers, each metric a plain function in a registry.Metric."""
