"""Where rows come from: files of the user's."""
