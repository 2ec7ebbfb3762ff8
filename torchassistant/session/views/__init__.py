"""What is shown of a session elsewhere: by trackers, and in notebooks."""
