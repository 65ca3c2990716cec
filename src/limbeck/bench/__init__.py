"""The runners of the studies, so that an installed package has them; configurations and results lie in the repository's bench/."""
