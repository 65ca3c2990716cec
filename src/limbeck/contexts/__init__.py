"""What a prompted model reads beside the task: demonstrations, passages."""
