"""What is checked of a plan or a search before its first trial."""
