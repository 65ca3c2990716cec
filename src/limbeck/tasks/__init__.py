"""A prompt file becomes a Task: front matter, rules that work offline, and a teacher whose reading the rules check."""
